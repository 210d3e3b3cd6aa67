/** Counts what a page and its workers ask of WebGPU, whichever engine asks. */

export interface GpuCounts {
  readonly dispatches: number;
  readonly passes: number;
  readonly submits: number;
  readonly readbacks: number;
  readonly writes: number;
  readonly buffers: number;
  readonly bindGroups: number;
  readonly pipelines: number;
  /** The most bytes of buffers that lived at once; a buffer lives until it is destroyed. */
  readonly peakBytes: number;
}

const CHANNEL = 'gpu-counts';
/** Every thread that counts has answered by then. */
const ANSWER_MS = 250;

/** Uses nothing outside itself: its text is put before the scripts that engines start workers with. */
function countGpu(channel: string): void {
  if (!('GPUDevice' in globalThis)) return;
  const counts: Record<string, number> = { peakBytes: 0 };
  const live = new Map<GPUBuffer, number>();
  const spy = <T extends object>(of: T, method: keyof T, seen: (self: unknown, result: unknown) => void): void => {
    const original = of[method] as (...args: unknown[]) => unknown;
    of[method] = function (this: unknown, ...args: unknown[]) {
      const result = original.apply(this, args);
      seen(this, result);
      return result;
    } as T[keyof T];
  };
  const count = <T extends object>(of: T, method: keyof T, name: string): void => {
    counts[name] ??= 0;
    spy(of, method, () => counts[name]!++);
  };
  count(GPUComputePassEncoder.prototype, 'dispatchWorkgroups', 'dispatches');
  count(GPUComputePassEncoder.prototype, 'dispatchWorkgroupsIndirect', 'dispatches');
  count(GPUCommandEncoder.prototype, 'beginComputePass', 'passes');
  count(GPUQueue.prototype, 'submit', 'submits');
  count(GPUQueue.prototype, 'writeBuffer', 'writes');
  count(GPUBuffer.prototype, 'mapAsync', 'readbacks');
  count(GPUDevice.prototype, 'createBuffer', 'buffers');
  count(GPUDevice.prototype, 'createBindGroup', 'bindGroups');
  count(GPUDevice.prototype, 'createComputePipeline', 'pipelines');
  count(GPUDevice.prototype, 'createComputePipelineAsync', 'pipelines');
  let bytes = 0;
  spy(GPUDevice.prototype, 'createBuffer', (_, made) => {
    const buffer = made as GPUBuffer;
    live.set(buffer, buffer.size);
    bytes += buffer.size;
    counts.peakBytes = Math.max(counts.peakBytes!, bytes);
  });
  spy(GPUBuffer.prototype, 'destroy', (self) => {
    bytes -= live.get(self as GPUBuffer) ?? 0;
    live.delete(self as GPUBuffer);
  });
  const port = new BroadcastChannel(channel);
  port.onmessage = ({ data }) => {
    if (data === 'read') port.postMessage(counts);
  };
}

/** In this thread, from now on. */
export function countHere(): void {
  countGpu(CHANNEL);
}

/** Engines that start their workers from a text count there too. */
export function countInTextWorkers(): void {
  const text = `(${countGpu.toString()})(${JSON.stringify(CHANNEL)});\n`;
  const Plain = globalThis.Blob;
  globalThis.Blob = class extends Plain {
    constructor(parts: BlobPart[] = [], options: BlobPropertyBag = {}) {
      super(options.type?.includes('javascript') ? [text, ...parts] : parts, options);
    }
  };
}

/** What all threads have counted so far, added up. */
export async function readCounts(): Promise<GpuCounts> {
  const total: Record<string, number> = {};
  const port = new BroadcastChannel(CHANNEL);
  port.onmessage = ({ data }) => {
    if (typeof data !== 'object') return;
    for (const [name, n] of Object.entries(data as Record<string, number>)) total[name] = (total[name] ?? 0) + n;
  };
  port.postMessage('read');
  await new Promise((resolve) => setTimeout(resolve, ANSWER_MS));
  port.close();
  return total as unknown as GpuCounts;
}
