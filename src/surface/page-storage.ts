/** This browser's storage as a page opens it: through an I/O worker. */
import { openBrowserStorage, type BrowserStorage } from '../engine/browser-storage.ts';
import type { Storage } from '../engine/keeping.ts';
import { storedModels, type StoredModels } from '../engine/models.ts';
import { StorageError } from '../errors.ts';
import { startIoWorker } from '../weights/records/start-worker.ts';

/** The same for all callers. Never rejects. */
export const openStorage = (): Promise<BrowserStorage> => openBrowserStorage(startIoWorker);

/** What this browser keeps of models. Its methods reject with a StorageError of reason `unavailable` where that is nothing. */
export const models: StoredModels = storedModels(async () => {
  const { models: storage, note } = await openStorage();
  if (!storage) throw new StorageError('unavailable', note ?? 'This browser offers no storage for models');
  return storage;
});

/** Whether it is what `openStorage` gave. */
export const isPageStorage = async (storage: Storage): Promise<boolean> =>
  'models' in storage && storage === (await openStorage());
