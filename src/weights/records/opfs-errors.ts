/** What the browser throws, said in our words. */
import { QuotaExceeded, StorageError, WebmoeError } from '../../errors.ts';

/** The name of a DOMException, or '' for anything else. Chromium's QuotaExceededError is a class of its own, with this name. */
export const domName = (error: unknown): string => (error instanceof Error ? error.name : '');

type Reason = StorageError['reason'];

const ADVICE: Readonly<Record<string, readonly [Reason, string]>> = {
  NoModificationAllowedError: ['in-use', 'is open in another tab: close that tab, or wait until it is done'],
  InvalidStateError: ['failed', 'cannot be opened now: reload the page'],
  NotFoundError: ['failed', 'is gone: the site’s data was cleared, so load the model again'],
  NotReadableError: ['in-use', 'changes while it is read: another tab is writing it, so wait until it is done'],
  NotAllowedError: ['unavailable', 'is refused by the browser: allow this site to store data'],
  SecurityError: ['unavailable', 'is refused by the browser: allow this site to store data'],
  TypeMismatchError: ['failed', 'is a folder where a file should be, or the reverse: clear this site’s data'],
};

/** The typed error for what went wrong with `file`. Our own mistakes (TypeError and the like) stay as they are. */
export function storageError(file: string, error: unknown): unknown {
  if (error instanceof WebmoeError) return error;
  const name = domName(error);
  if (name === 'QuotaExceededError') return noRoom(file, error);
  const known = ADVICE[name];
  if (!known && !(error instanceof DOMException)) return error;
  const [reason, advice] = known ?? ['failed', `failed (${name}: ${(error as DOMException).message})`];
  return new StorageError(reason, `${file} in the browser’s storage ${advice}`, { file }, { cause: error });
}

export const noRoom = (file: string, cause?: unknown): QuotaExceeded =>
  new QuotaExceeded(
    `${file}: the browser’s storage is full: free disk space, or remove models that you no longer use`,
    { file },
    { cause },
  );

export const closedFile = (file: string): StorageError =>
  new StorageError('failed', `${file} is closed: open it again`, { file });

/** Runs `action`; what it throws comes out typed. */
export async function typed<T>(file: string, action: () => T | Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw storageError(file, error);
  }
}
