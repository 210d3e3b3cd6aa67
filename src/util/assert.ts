/** We are wrong, not the world: never caught, never shown as advice. */
export class InvariantError extends Error {
  constructor(message: string) {
    super(`internal error: ${message}`);
    this.name = 'InvariantError';
  }
}

export function invariant(claim: unknown, message: string): asserts claim {
  if (!claim) throw new InvariantError(message);
}
