/** A folder that lets a test see, delay and fail every operation. */
import type { RecordFile, RecordFolder } from '../../../../src/weights/records/folder.ts';

export interface Operation {
  readonly kind: 'open' | 'list' | 'remove' | 'removeFolder' | 'size' | 'read' | 'write' | 'truncate' | 'flush';
  /** Of the file or folder. */
  readonly name: string;
  /** Of a write. */
  readonly bytes?: Uint8Array;
  readonly at?: number;
  /** The file underneath, of an operation on one. */
  readonly file?: RecordFile;
}

export interface Watcher {
  /** Runs first; what it throws, the operation throws. */
  before(operation: Operation): Promise<void>;
}

export function around(folder: RecordFolder, watcher: Watcher): RecordFolder {
  const file = (inner: RecordFile, name: string): RecordFile => ({
    size: async () => (await watcher.before({ kind: 'size', name, file: inner }), inner.size()),
    read: async (into, at) => (await watcher.before({ kind: 'read', name, file: inner }), inner.read(into, at)),
    write: async (bytes, at) => (
      await watcher.before({ kind: 'write', name, bytes, at, file: inner }),
      inner.write(bytes, at)
    ),
    truncate: async (bytes) => (
      await watcher.before({ kind: 'truncate', name, at: bytes, file: inner }),
      inner.truncate(bytes)
    ),
    flush: async () => (await watcher.before({ kind: 'flush', name, file: inner }), inner.flush()),
    close: () => inner.close(),
  });
  return {
    kind: folder.kind,
    label: folder.label,
    open: async (name, options) => {
      await watcher.before({ kind: 'open', name });
      const inner = await folder.open(name, options);
      return inner && file(inner, name);
    },
    list: async () => (await watcher.before({ kind: 'list', name: '' }), folder.list()),
    remove: async (name) => (await watcher.before({ kind: 'remove', name }), folder.remove(name)),
    folder: async (name) => around(await folder.folder(name), watcher),
    folders: () => folder.folders(),
    removeFolder: async (name) => (await watcher.before({ kind: 'removeFolder', name }), folder.removeFolder(name)),
    close: () => folder.close(),
  };
}
