/** The best folder that this browser gives, and why it is not a better one. */
import type { RecordFolder } from './folder.ts';
import { opfsAsyncFolder } from './opfs-async-folder.ts';
import { opfsFolder } from './opfs-folder.ts';
import { opfsRemoteFolder } from './opfs-remote.ts';
import { isTemporary } from './opfs-temporary.ts';
import { hasSyncHandles } from './opfs-types.ts';

/** Everything of webmoe's is in here; the number changes when an older version's files are of no use. */
export const TOP_FOLDER = 'webmoe-v1';

export interface BrowserFolderOptions {
  /** Starts the I/O worker, which runs the package's `opfs-worker.js`; null: there is to be none. */
  readonly worker: (() => Worker) | null;
}

export interface BrowserFolder {
  /** null when this browser keeps nothing. Whoever opened it closes it. */
  readonly folder: RecordFolder | null;
  /** One sentence for people about why it is not the best; null when it is. */
  readonly note: string | null;
  /** A private window, as far as can be told: what is kept takes memory, past any quota, and is gone with the window. */
  readonly isTemporary: boolean;
}

/** Tries sync access handles here (in a worker), then in an I/O worker, then the asynchronous interface. Never throws. */
export async function openBrowserFolder({ worker }: BrowserFolderOptions): Promise<BrowserFolder> {
  if (!globalThis.isSecureContext)
    return none('This page came over an insecure connection, so the browser keeps no copy of the model.');
  if (typeof navigator.storage?.getDirectory !== 'function')
    return none('This browser has no private file system, so it keeps no copy of the model.');

  const fast = hasSyncHandles()
    ? await attempt(openHere)
    : worker && typeof Worker === 'function'
      ? await attempt(() => openRemote(worker))
      : new Error('there are no workers here');
  if (!(fast instanceof Error)) {
    const note = fast.isTemporary
      ? 'This seems to be a private window: the copy of the model takes memory, and is gone when the window is closed.'
      : null;
    return { ...fast, note };
  }

  const slow = await attempt(openAsync);
  if (!(slow instanceof Error))
    return {
      ...slow,
      note: `The copy of the model on this computer is read more slowly than it could be: ${lowerFirst(reason(fast))}.`,
    };
  return none(
    `This browser refuses to store data for this site, so it keeps no copy of the model: ${lowerFirst(reason(slow))}. A private window may be why.`,
  );
}

const none = (note: string): BrowserFolder => ({ folder: null, note, isTemporary: false });
const reason = (error: Error): string => error.message.replace(/\.$/, '');
const lowerFirst = (text: string): string => text.slice(0, 1).toLowerCase() + text.slice(1);

interface Opened {
  readonly folder: RecordFolder;
  isTemporary(name: string): Promise<boolean>;
}

async function openHere(): Promise<Opened> {
  const folder = await opfsFolder([TOP_FOLDER]);
  return { folder, isTemporary: (name) => isTemporary(folder, name) };
}

async function openRemote(worker: () => Worker): Promise<Opened> {
  const folder = await opfsRemoteFolder([TOP_FOLDER], worker);
  return { folder, isTemporary: (name) => folder.isTemporary(name) };
}

/** The quota holds in private windows too, so that it does not matter. */
async function openAsync(): Promise<Opened> {
  return { folder: await opfsAsyncFolder([TOP_FOLDER]), isTemporary: async () => false };
}

/** The folder, if it holds what it is given: some private windows open one, and fail only then. */
async function attempt(open: () => Promise<Opened>): Promise<{ folder: RecordFolder; isTemporary: boolean } | Error> {
  let opened: Opened | null = null;
  try {
    opened = await open();
    await probe(opened.folder);
    return { folder: opened.folder, isTemporary: await opened.isTemporary(probeName()) };
  } catch (error) {
    await opened?.folder.close().catch(() => undefined);
    return error instanceof Error ? error : new Error(String(error));
  }
}

const probeName = (): string => `probe-${Date.now()}-${crypto.randomUUID()}`;
const PROBE = /^probe-(\d+)-/;
/** Older probes are of pages that were closed in the middle of one. */
const PROBE_MS = 60_000;

async function probe(folder: RecordFolder): Promise<void> {
  const name = probeName();
  const bytes = crypto.getRandomValues(new Uint8Array(64));
  try {
    const file = await folder.open(name, { create: true });
    await file?.write(bytes, 0);
    await file?.flush();
    const back = new Uint8Array(bytes.length);
    const count = await file?.read(back, 0);
    if (count !== bytes.length || back.some((byte, i) => byte !== bytes[i]))
      throw new Error('a small file did not come back as it was written');
    await file?.close();
  } finally {
    await folder.remove(name);
  }
  for (const { name: left } of await folder.list()) {
    const startedAt = PROBE.exec(left)?.[1];
    if (startedAt && Date.now() - Number(startedAt) > PROBE_MS) await folder.remove(left).catch(() => undefined);
  }
}
