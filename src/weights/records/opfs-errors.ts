/** What the browser throws, said in our words. */
import { QuotaExceeded, StorageError, WebmoeError } from '../../errors.ts';

/** The name of a DOMException, or '' for anything else. Chromium's QuotaExceededError is a class of its own, with this name. */
export const domName = (error: unknown): string => (error instanceof Error ? error.name : '');

const ADVICE: Readonly<Record<string, string>> = {
  NoModificationAllowedError: 'is open in another tab: close that tab, or wait until it is done',
  InvalidStateError: 'cannot be opened now: reload the page',
  NotFoundError: 'is gone: the site’s data was cleared, so load the model again',
  NotReadableError: 'changes while it is read: another tab is writing it, so wait until it is done',
  NotAllowedError: 'is refused by the browser: allow this site to store data',
  SecurityError: 'is refused by the browser: allow this site to store data',
  TypeMismatchError: 'is a folder where a file should be, or the reverse: clear this site’s data',
};

/** The typed error for what went wrong with `file`. Our own mistakes (TypeError and the like) stay as they are. */
export function storageError(file: string, error: unknown): unknown {
  if (error instanceof WebmoeError) return error;
  const name = domName(error);
  if (name === 'QuotaExceededError') return noRoom(file, error);
  const advice = ADVICE[name] ?? (error instanceof DOMException ? `failed (${name}: ${error.message})` : undefined);
  if (advice === undefined) return error;
  return new StorageError(`${file} in the browser’s storage ${advice}`, { file, reason: name }, { cause: error });
}

export const noRoom = (file: string, cause?: unknown): QuotaExceeded =>
  new QuotaExceeded(
    `${file}: the browser’s storage is full: free disk space, or remove models that you no longer use`,
    { file },
    { cause },
  );

export const closedFile = (file: string): StorageError =>
  new StorageError(`${file} is closed: open it again`, { file, reason: 'closed' });

/** Runs `action`; what it throws comes out typed. */
export async function typed<T>(file: string, action: () => T | Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw storageError(file, error);
  }
}
