/** What draws read on the GPU, kept as it is here: token counts for the penalties, and the bias and the mask of a request. */
import type { Gpu } from '../../gpu/gpu.ts';
import type { DrawOptions } from '../../gpu/step.ts';
import { promptCounts, raisedCount } from '../../kernels/sample/sample.ts';
import type { Forward } from '../forward.ts';
import type { DrawParams } from './draw.ts';

export class DrawInputs {
  readonly #gpu: Gpu;
  readonly #forward: Forward;
  /** What the GPU's token counts are when no guess is running: see kernels/sample. */
  #counts: Uint32Array<ArrayBuffer>;
  /** What the GPU's copies were written from. */
  #biasOnGpu: DrawParams['bias'] = null;
  #allowedOnGpu: DrawParams['allowed'] = null;

  constructor(gpu: Gpu, forward: Forward) {
    this.#gpu = gpu;
    this.#forward = forward;
    this.#counts = new Uint32Array(forward.config.vocab);
  }

  /** Of a request that begins. */
  start(prompt: readonly number[]): void {
    this.#counts = promptCounts(prompt, this.#forward.config.vocab);
    this.writeCounts();
  }

  /** As they are in another session, on another device. */
  takeOver(from: DrawInputs): void {
    this.#counts = from.#counts.slice();
    this.writeCounts();
  }

  writeCounts(): void {
    this.#gpu.write(this.#forward.draws.tokenCounts, this.#counts);
  }

  /** A draw that counts: the kernel has raised its copy. */
  raise(id: number): void {
    this.#counts[id] = raisedCount(this.#counts[id]!);
  }

  /** A token's count on the GPU becomes what it is here: a draw from a pass that missed experts raised it, or one of several did not. */
  writeCount(id: number): void {
    this.#gpu.write(this.#forward.draws.tokenCounts, this.#counts.subarray(id, id + 1), 4 * id);
  }

  /** Brings a draw's bias and mask to the GPU, unless they are there. Without them nothing is written. */
  writeLimits({ bias = null, allowed = null }: DrawParams): DrawOptions {
    const { draws } = this.#forward;
    if (bias && bias !== this.#biasOnGpu) this.#gpu.write(draws.bias, (this.#biasOnGpu = bias));
    if (allowed && allowed !== this.#allowedOnGpu) this.#gpu.write(draws.allowed, (this.#allowedOnGpu = allowed));
    return { isBiased: bias !== null, isMasked: allowed !== null };
  }
}
