/** The storage that this browser gives a page, opened once: for models, and for whoever manages them. */
import { openBrowserFolder } from '../weights/records/browser-folder.ts';
import { modelStorage } from '../weights/records/storage.ts';
import type { ModelStorage } from '../weights/records/stored.ts';
import { webLock } from '../weights/records/web-lock.ts';
import type { Storage } from './keeping.ts';

export interface BrowserStorage extends Storage {
  /** null when this browser keeps nothing; `note` says why. */
  readonly models: ModelStorage | null;
}

let opened: Promise<BrowserStorage> | undefined;

/**
 * The same for all callers of this thread. Never rejects.
 * @param startIoWorker for threads that get no sync access handles; null: this is a worker, and starts no other
 */
export function openBrowserStorage(startIoWorker: (() => Worker) | null): Promise<BrowserStorage> {
  return (opened ??= open(startIoWorker));
}

async function open(worker: (() => Worker) | null): Promise<BrowserStorage> {
  const { folder: root, note, isTemporary } = await openBrowserFolder({ worker });
  const lock = webLock();
  return { root, lock, note, isTemporary, models: root && modelStorage(root, lock) };
}
