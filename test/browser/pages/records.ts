/** Record folders on `window`, for tests that want to see them in a real browser. */
import { openBrowserFolder, TOP_FOLDER, type BrowserFolder } from '../../../src/weights/records/browser-folder.ts';
import { startIoWorker } from '../../../src/weights/records/start-worker.ts';
import { persist, persisted } from '../../../src/weights/records/persist.ts';
import type { RecordFolder } from '../../../src/weights/records/folder.ts';
import { modelFolderName } from '../../../src/weights/records/identity.ts';
import { openRecordCache } from '../../../src/weights/records/open-cache.ts';
import { opfsAsyncFolder } from '../../../src/weights/records/opfs-async-folder.ts';
import { opfsRemoteFolder } from '../../../src/weights/records/opfs-remote.ts';
import { equal, folderCases, pattern } from '../../support/record-folder-cases.ts';
import { readSpeed, writeSpeed } from './records-speed.ts';
import { webLock } from '../../../src/weights/records/web-lock.ts';
import { identity, openStore, readStore, storeFiles, writeForEver } from './store.ts';

/** What the worker does to the browser's sync access handles before it serves: see records-faults.ts. */
export type WorkerFault = 'none' | 'no-sync-handles' | 'invalid-state-once' | 'always-held' | 'modeless' | 'silent';

interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): URL };
}

// Vite finds workers by the words `new Worker(new URL(`; the page's CSP asks for a trusted address.
const { trustedTypes } = window as { readonly trustedTypes?: TrustedTypes };
const policy = trustedTypes?.createPolicy('webmoe', { createScriptURL: (url) => url });
const Worker = class extends window.Worker {
  constructor(url: URL, options: WorkerOptions) {
    super(policy?.createScriptURL(url.href) ?? url, options);
  }
};

/** An I/O worker with a fault. */
const faultyWorker = (fault: WorkerFault): Worker =>
  new Worker(new URL('./records-faulty-worker.ts', import.meta.url), { type: 'module', name: fault });

/** Runs a method of records-worker.ts, whose record folder has sync access handles in its own thread. */
function inWorker(call: string, ...args: readonly unknown[]): Promise<unknown> {
  const worker = new Worker(new URL('./records-worker.ts', import.meta.url), { type: 'module' });
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<{ result?: unknown; error?: string }>) => {
      worker.terminate();
      if (data.error === undefined) resolve(data.result);
      else reject(new Error(data.error));
    };
    worker.onerror = ({ message }) => reject(new Error(message));
    worker.postMessage({ call, args });
  });
}

export type Backend = 'worker' | 'async';
const openers: Readonly<Record<Backend, () => Promise<RecordFolder>>> = {
  worker: () => opfsRemoteFolder([TOP_FOLDER], startIoWorker),
  async: () => opfsAsyncFolder([TOP_FOLDER]),
};

async function runCase(backend: Backend, name: string): Promise<void> {
  const top = await openers[backend]();
  await folderCases.find((c) => c.name === name)!.run(await top.folder(`case-${crypto.randomUUID()}`));
  await top.close();
}

/** Deletes everything. */
async function clear(): Promise<void> {
  const root = await navigator.storage.getDirectory();
  for await (const name of root.keys()) await root.removeEntry(name, { recursive: true });
}

/** Files in a folder of webmoe's, whatever made them. */
async function rawNames(folder: string): Promise<string[]> {
  let directory = await navigator.storage.getDirectory();
  for (const name of [TOP_FOLDER, folder]) directory = await directory.getDirectoryHandle(name, { create: true });
  const names: string[] = [];
  for await (const name of directory.keys()) names.push(name);
  return names;
}

/** What an error shows of itself, for the test to compare. */
async function caught(
  action: Promise<unknown>,
): Promise<{ name: string; code: unknown; message: string; details: unknown } | null> {
  try {
    await action;
    return null;
  } catch (error) {
    const { name, message, code, details } = error as Error & { readonly code?: unknown; readonly details?: unknown };
    return { name, code, message, details };
  }
}

export const records = {
  TOP_FOLDER,
  caught,
  clear,
  equal,
  faultyWorker,
  identity,
  inWorker,
  rawNames,
  modelFolderName,
  /** As a page opens it. */
  openBrowserFolder: (worker: () => Worker = startIoWorker): Promise<BrowserFolder> => openBrowserFolder({ worker }),
  openers,
  openRecordCache,
  openStore,
  opfsAsyncFolder,
  opfsRemoteFolder,
  startIoWorker,
  pattern,
  persist,
  persisted,
  readSpeed,
  readStore,
  runCase,
  storeFiles,
  writeForEver,
  webLock,
  writeSpeed,
};

declare global {
  interface Window {
    records: typeof records;
  }
}

window.records = records;
