/** The storage that this browser gives a page, opened once: for models, and for whoever manages them. */
import { StorageError } from '../errors.ts';
import { openBrowserFolder } from '../weights/records/browser-folder.ts';
import { modelStorage } from '../weights/records/storage.ts';
import type { ModelStorage } from '../weights/records/stored.ts';
import { webLock } from '../weights/records/web-lock.ts';
import type { Storage } from './keeping.ts';
import { storedModels, type StoredModels } from './models.ts';

export interface BrowserStorage extends Storage {
  /** null when this browser keeps nothing; `note` says why. */
  readonly models: ModelStorage | null;
}

let opened: Promise<BrowserStorage> | undefined;

/** The same for all callers. Never rejects. */
export function openStorage(): Promise<BrowserStorage> {
  return (opened ??= open());
}

/** What this browser keeps of models. Its methods reject with a StorageError of reason `unavailable` where that is nothing. */
export const models: StoredModels = storedModels(async () => {
  const { models: storage, note } = await openStorage();
  if (!storage) throw new StorageError('unavailable', note ?? 'This browser offers no storage for models');
  return storage;
});

async function open(): Promise<BrowserStorage> {
  const { folder: root, note, isTemporary } = await openBrowserFolder();
  const lock = webLock();
  return { root, lock, note, isTemporary, models: root && modelStorage(root, lock) };
}
