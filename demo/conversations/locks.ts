/** Which answers are being written right now, by any tab of this page: each holds a lock, which goes away with its tab. */

const nameOf = (message: string): string => `webmoe-writing:${message}`;
const locks = (): LockManager | undefined => (navigator as { locks?: LockManager }).locks;

/** @returns lets go */
export function holdWriting(message: string): () => void {
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  locks()
    ?.request(nameOf(message), () => held)
    .catch(() => undefined); // without locks, an answer elsewhere looks interrupted until it is done
  return release;
}

/** Of these messages, those that some tab is writing. */
export async function beingWritten(messages: readonly string[]): Promise<Set<string>> {
  const { held = [] } = (await locks()?.query()) ?? {};
  const names = new Set(held.map((lock) => lock.name));
  return new Set(messages.filter((message) => names.has(nameOf(message))));
}
