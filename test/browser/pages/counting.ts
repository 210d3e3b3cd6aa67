/** Counts what WebGPU and the file system hand out in this thread, by a wrapper around each of their calls. Imported before the engine. */

export interface Counts {
  /** Calls that made one, ever. */
  readonly made: Readonly<Record<string, number>>;
  /** Buffers that were made and not destroyed, with their bytes; devices; files that are open. */
  readonly alive: {
    readonly buffers: number;
    readonly bufferBytes: number;
    readonly devices: number;
    readonly files: number;
  };
}

type Method = (this: object, ...args: unknown[]) => unknown;
type Prototype = Record<string, Method>;

const made: Record<string, number> = {};
const buffers = new Map<object, number>();
const devices = new Set<object>();
const files = new Set<object>();

/** Calls `after` with the object and what it returned, once that is there. */
function wrap(prototype: object, name: string, after: (self: object, result: unknown) => void): void {
  const methods = prototype as Prototype;
  const original = methods[name]!;
  methods[name] = function (...args) {
    const result = original.apply(this, args);
    if (result instanceof Promise) void result.then((value) => after(this, value)).catch(() => undefined);
    else after(this, result);
    return result;
  };
}

const MAKERS = [
  'createBuffer',
  'createTexture',
  'createSampler',
  'createQuerySet',
  'createBindGroup',
  'createBindGroupLayout',
  'createPipelineLayout',
  'createShaderModule',
  'createComputePipeline',
  'createComputePipelineAsync',
] as const;

export function startCounting(): void {
  for (const name of MAKERS) {
    made[name] = 0;
    wrap(GPUDevice.prototype, name, () => made[name]!++);
  }
  wrap(GPUDevice.prototype, 'createBuffer', (_, buffer) => buffers.set(buffer as object, (buffer as GPUBuffer).size));
  wrap(GPUBuffer.prototype, 'destroy', (buffer) => buffers.delete(buffer));
  wrap(GPUAdapter.prototype, 'requestDevice', (_, device) => devices.add(device as object));
  wrap(GPUDevice.prototype, 'destroy', (device) => devices.delete(device));
  wrap(FileSystemFileHandle.prototype, 'createSyncAccessHandle', (_, file) => files.add(file as object));
  const { FileSystemSyncAccessHandle: Handle } = globalThis as unknown as {
    FileSystemSyncAccessHandle: { prototype: object };
  };
  wrap(Handle.prototype, 'close', (file) => files.delete(file));
}

export const counts = (): Counts => ({
  made: { ...made },
  alive: {
    buffers: buffers.size,
    bufferBytes: [...buffers.values()].reduce((sum, bytes) => sum + bytes, 0),
    devices: devices.size,
    files: files.size,
  },
});
