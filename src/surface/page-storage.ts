/** This browser's storage as a page opens it: through an I/O worker. */
import { openBrowserStorage, type BrowserStorage } from '../engine/browser-storage.ts';
import type { Storage } from '../engine/keeping.ts';
import { startIoWorker } from '../weights/records/start-worker.ts';

/** The same for all callers. Never rejects. */
export const openStorage = (): Promise<BrowserStorage> => openBrowserStorage(startIoWorker);

/** Whether it is what `openStorage` gave. */
export const isPageStorage = async (storage: Storage): Promise<boolean> =>
  'models' in storage && storage === (await openStorage());
