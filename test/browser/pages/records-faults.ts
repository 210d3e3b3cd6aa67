/** Breaks this worker's sync access handles, in the way that the worker's name says. */
import type { SyncFileHandle } from '../../../src/weights/records/opfs-types.ts';
import type { WorkerFault } from './records.ts';

const prototype = FileSystemFileHandle.prototype as unknown as SyncFileHandle;
const real = prototype.createSyncAccessHandle;

const faults: Readonly<Record<WorkerFault, () => void>> = {
  none: () => undefined,
  'no-sync-handles': () => void Reflect.deleteProperty(prototype, 'createSyncAccessHandle'),
  'invalid-state-once': () => {
    const seen = new Set<string>();
    prototype.createSyncAccessHandle = async function (this: SyncFileHandle, options) {
      if (seen.has(this.name)) return real.call(this, options);
      seen.add(this.name);
      throw new DOMException('stale', 'InvalidStateError');
    };
  },
  'always-held': () => {
    prototype.createSyncAccessHandle = async () => {
      throw new DOMException('held', 'NoModificationAllowedError');
    };
  },
  /** A browser that knows no modes: every handle is exclusive. */
  modeless: () => {
    prototype.createSyncAccessHandle = function (this: SyncFileHandle) {
      return real.call(this);
    };
  },
  silent: () => addEventListener('message', (event) => event.stopImmediatePropagation()),
};
export const breakHandles = (): void => faults[(self as unknown as { readonly name: WorkerFault }).name]();
