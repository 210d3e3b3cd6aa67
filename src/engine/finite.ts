/** A model whose numbers overflow says so, and what overflowed. */
import { InvalidCheckpoint } from '../errors.ts';

export const notFinite = (broken: number, what: string): InvalidCheckpoint =>
  new InvalidCheckpoint(
    'not-finite',
    `The model computed ${broken} ${what} that are no finite numbers: its weights are damaged, or overflow f32`,
    { broken, what },
  );

/** @throws InvalidCheckpoint with how many are not */
export function assertFinite(values: Float32Array, what: string): void {
  let broken = 0;
  for (const value of values) if (!Number.isFinite(value)) broken++;
  if (broken > 0) throw notFinite(broken, what);
}
