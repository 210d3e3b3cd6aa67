/** @throws the signal's reason as soon as it is aborted; the step goes on by itself */
export async function orAborted<T>(step: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return step;
  signal.throwIfAborted();
  let stop: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([step, aborted]);
  } finally {
    if (stop) signal.removeEventListener('abort', stop);
  }
}
