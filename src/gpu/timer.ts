/** What each kernel takes on the GPU's own clock, for adapters with `timestamp-query`. */
import { invariant } from '../util/assert.ts';
import type { Gpu } from './gpu.ts';

export interface KernelTime {
  readonly shader: string;
  readonly dispatches: number;
  readonly milliseconds: number;
}

/** Two a dispatch; the most that WebGPU lets a query set have. */
const QUERIES = 4096;
const STAMP_BYTES = 8;

/**
 * While it is a `Gpu`'s `timer`, every dispatch is a pass of its own between two time stamps, until there is room for no more: 2048 dispatches. Browsers
 * round stamps, so that a short kernel is known by the sum of many dispatches only.
 */
export class KernelTimer {
  readonly #gpu: Gpu;
  readonly #queries: GPUQuerySet;
  readonly #shaders: string[] = [];

  constructor(gpu: Gpu) {
    invariant(gpu.facts.features.has('timestamp-query'), 'time stamps on a device without timestamp-query');
    this.#gpu = gpu;
    this.#queries = gpu.device.createQuerySet({ label: 'time stamps', type: 'timestamp', count: QUERIES });
  }

  /** For the pass of one dispatch; undefined when there is no room left. */
  next(shader: string): GPUComputePassTimestampWrites | undefined {
    const at = 2 * this.#shaders.length;
    if (at >= QUERIES) return undefined;
    this.#shaders.push(shader);
    return { querySet: this.#queries, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 };
  }

  /** Of the dispatches that were submitted so far: by kernel, those that took longest first. */
  async read(): Promise<KernelTime[]> {
    const shaders = this.#shaders.splice(0);
    if (shaders.length === 0) return [];
    const stamps = await this.#stamps(2 * shaders.length);
    const sums = new Map<string, { dispatches: number; milliseconds: number }>();
    shaders.forEach((shader, i) => {
      const sum = sums.get(shader) ?? { dispatches: 0, milliseconds: 0 };
      sums.set(shader, sum);
      sum.dispatches++;
      // A driver that restarts its clock in between may have the end before the beginning.
      sum.milliseconds += Math.max(0, Number(stamps[2 * i + 1]! - stamps[2 * i]!)) / 1e6;
    });
    const times = [...sums].map(([shader, sum]) => ({ shader, ...sum }));
    return times.sort((a, b) => b.milliseconds - a.milliseconds);
  }

  async #stamps(count: number): Promise<BigUint64Array> {
    const size = STAMP_BYTES * count;
    const buffer = this.#gpu.createBuffer('time stamps', 'staging', size, GPUBufferUsage.QUERY_RESOLVE);
    try {
      const encoder = this.#gpu.device.createCommandEncoder();
      encoder.resolveQuerySet(this.#queries, 0, count, buffer, 0);
      this.#gpu.submit(encoder.finish());
      return new BigUint64Array(await this.#gpu.read({ buffer, offset: 0, size }));
    } finally {
      this.#gpu.destroyBuffer(buffer);
    }
  }

  dispose(): void {
    this.#queries.destroy();
  }
}
