/** What the I/O worker does: sync access handles on behalf of a page. The page's side is opfs-connection.ts. */
import { invariant } from '../../util/assert.ts';
import { Chain } from './chain.ts';
import type { RecordFile, RecordFolder } from './folder.ts';
import { opfsFolder } from './opfs-folder.ts';
import { toWire, type Args, type CallName, type Reply, type Request, type Result } from './opfs-protocol.ts';
import { isTemporary } from './opfs-temporary.ts';
import { hasSyncHandles } from './opfs-types.ts';

/** The part of a dedicated worker's global that is used here; TypeScript's library for pages has none. */
const port = globalThis as unknown as {
  postMessage(reply: Reply, transfer: Transferable[]): void;
  addEventListener(type: 'message', listener: (event: MessageEvent<Request>) => void): void;
};

const folders = new Map<string, Promise<RecordFolder>>();
const files = new Map<number, RecordFile>();
/** Calls for one file run in the order in which they came. */
const chains = new Map<number, Chain>();

function folderAt(path: readonly string[]): Promise<RecordFolder> {
  const key = path.join('/');
  let folder = folders.get(key);
  if (!folder) {
    folder = path.length === 1 ? opfsFolder(path) : folderAt(path.slice(0, -1)).then((up) => up.folder(path.at(-1)!));
    folders.set(key, folder);
    folder.catch(() => folders.delete(key));
  }
  return folder;
}

function fileOf(id: number): RecordFile {
  const file = files.get(id);
  invariant(file, `file ${id} of the I/O worker is not open`);
  return file;
}

const handlers: { readonly [K in CallName]: (args: Args<K>) => Promise<Result<K>> } = {
  async start({ alive }) {
    await holdForEver(alive);
    return { sync: hasSyncHandles() };
  },
  async open({ path, name, create, file }) {
    const opened = await (await folderAt(path)).open(name, { create });
    if (opened) files.set(file, opened);
    return opened !== null;
  },
  list: async ({ path }) => (await folderAt(path)).list(),
  remove: async ({ path, name }) => (await folderAt(path)).remove(name),
  async folder({ path }) {
    folders.delete(path.join('/')); // made again when it is gone
    await folderAt(path);
  },
  folders: async ({ path }) => (await folderAt(path)).folders(),
  async removeFolder({ path, name }) {
    await (await folderAt(path)).removeFolder(name);
    const prefix = [...path, name].join('/');
    for (const key of folders.keys()) if (key === prefix || key.startsWith(`${prefix}/`)) folders.delete(key);
  },
  isTemporary: async ({ path, name }) => isTemporary(await folderAt(path), name),
  size: async ({ file }) => fileOf(file).size(),
  async read({ file, at, length, buffer }) {
    const bytes = await fileOf(file).read(new Uint8Array(buffer, 0, length), at);
    return { bytes, buffer };
  },
  async write({ file, at, length, buffer }) {
    await fileOf(file).write(new Uint8Array(buffer, 0, length), at);
    return { buffer };
  },
  truncate: async ({ file, bytes }) => fileOf(file).truncate(bytes),
  flush: async ({ file }) => fileOf(file).flush(),
  async close({ file }) {
    const open = fileOf(file);
    files.delete(file);
    chains.delete(file);
    await open.close();
  },
};

/** A lock ends with its holder, however that ends: so the page learns of it. */
const holdForEver = (name: string): Promise<void> =>
  new Promise((held, failed) => {
    if (!navigator.locks) return held();
    navigator.locks
      .request(name, () => {
        held();
        return new Promise(() => undefined);
      })
      .catch(failed);
  });

const run = <K extends CallName>(call: K, args: Args<K>): Promise<Result<K>> => handlers[call](args);

function chainOf(file: number): Chain {
  const chain = chains.get(file) ?? new Chain();
  chains.set(file, chain);
  return chain;
}

async function answer({ id, call, args }: Request): Promise<void> {
  try {
    const result = await ('file' in args ? chainOf(args.file).run(() => run(call, args)) : run(call, args));
    const buffer = typeof result === 'object' && 'buffer' in result ? [result.buffer] : [];
    port.postMessage({ id, result }, buffer);
  } catch (error) {
    port.postMessage({ id, error: toWire(error) }, []);
  }
}

/** Answers the page's calls from now on. */
export function serveOpfs(): void {
  port.addEventListener('message', ({ data }) => void answer(data));
}
