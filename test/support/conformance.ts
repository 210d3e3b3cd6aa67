/**
 * Runs a kernel the way a hostile reviewer would: outputs start as a NaN pattern, guard words follow every buffer that it may write, it runs twice
 * and must give the same bits, and nothing that it only reads may change.
 */
import { expect } from 'vitest';
import type { BufferView } from '../../src/gpu/buffer.ts';
import type { Gpu } from '../../src/gpu/gpu.ts';
import { Recorder, type StepShape } from '../../src/gpu/recording.ts';
import {
  STEP_BYTES,
  writeStep,
  type ApproximateParams,
  type SamplingParams,
  type StateSide,
} from '../../src/gpu/step.ts';

export type Words = Float32Array | Uint32Array | Int32Array;

/** Unwritten output words show as this: a quiet NaN with a mark. */
export const POISON = 0x7fc0dead;
const GUARD_WORDS = 64;
const GUARD = 0x5afe600d;

export interface KernelRun {
  /** Read-only inputs by name. */
  readonly inputs: Readonly<Record<string, Words>>;
  /** Outputs: a length in words (starts poisoned) or initial contents (in-place buffers). */
  readonly outputs: Readonly<Record<string, number | Words>>;
  readonly step: StepShape & {
    readonly sampling?: SamplingParams;
    readonly approximate?: ApproximateParams;
    readonly side?: StateSide;
  };
  /** Records the kernel under test; `views` has one view for each input and output. */
  readonly record: (recorder: Recorder, views: Readonly<Record<string, BufferView>>) => void;
}

/** The words of each output after a run. */
export async function runKernel(gpu: Gpu, run: KernelRun): Promise<Record<string, Uint32Array<ArrayBuffer>>> {
  const once = async (): Promise<Record<string, Uint32Array<ArrayBuffer>>> => {
    const buffers: GPUBuffer[] = [];
    const make = (label: string, words: Words): GPUBuffer => {
      const buffer = gpu.createBuffer(label, 'staging', words.byteLength + 4 * GUARD_WORDS, GPUBufferUsage.UNIFORM);
      gpu.write({ buffer, offset: 0, size: buffer.size }, words);
      gpu.write({ buffer, offset: 0, size: buffer.size }, new Uint32Array(GUARD_WORDS).fill(GUARD), words.byteLength);
      buffers.push(buffer);
      return buffer;
    };
    const views: Record<string, BufferView> = {};
    const lengths: Record<string, number> = {};
    for (const [name, words] of Object.entries(run.inputs)) {
      views[name] = { buffer: make(name, words), offset: 0, size: Math.max(4, words.byteLength) };
    }
    for (const [name, words] of Object.entries(run.outputs)) {
      const initial = typeof words === 'number' ? new Uint32Array(words).fill(POISON) : words;
      lengths[name] = initial.length;
      views[name] = { buffer: make(name, initial), offset: 0, size: initial.byteLength + 4 * GUARD_WORDS };
    }
    const stepBuffer = gpu.createBuffer('step', 'staging', STEP_BYTES, GPUBufferUsage.UNIFORM);
    buffers.push(stepBuffer);
    const stepView = { buffer: stepBuffer, offset: 0, size: STEP_BYTES };
    const { tokens, position, sampling, approximate, side } = run.step;
    const step = writeStep(new ArrayBuffer(STEP_BYTES), tokens, position, sampling, approximate, side);
    gpu.write(stepView, new Uint8Array(step));
    gpu.device.pushErrorScope('validation');
    const recorder = new Recorder(gpu, stepView);
    run.record(recorder, views);
    const program = await recorder.finish();
    const encoder = gpu.device.createCommandEncoder();
    program.encode(encoder, run.step);
    gpu.submit(encoder.finish());
    const error = await gpu.device.popErrorScope();
    expect(error?.message ?? null).toBeNull();

    const out: Record<string, Uint32Array<ArrayBuffer>> = {};
    for (const name of Object.keys(run.outputs)) {
      const { buffer } = views[name]!;
      const words = new Uint32Array(await gpu.read({ buffer, offset: 0, size: buffer.size }));
      const guard = words.subarray(lengths[name]!);
      expect(
        guard.every((w) => w === GUARD),
        `${name}: guard words after the output were overwritten`,
      ).toBe(true);
      out[name] = words.slice(0, lengths[name]!);
    }
    for (const buffer of buffers) gpu.destroyBuffer(buffer);
    return out;
  };
  const first = await once();
  const second = await once();
  for (const name of Object.keys(first)) {
    expect(firstDifference(first[name]!, second[name]!), `${name}: two runs differ`).toBe(-1);
  }
  return first;
}

const firstDifference = (a: Uint32Array, b: Uint32Array): number => a.findIndex((w, i) => w !== b[i]);

export const asF32 = (words: Uint32Array<ArrayBuffer>): Float32Array =>
  new Float32Array(words.buffer, words.byteOffset, words.length);

/**
 * The largest error, relative to the RMS of what was expected. NaN anywhere gives Infinity.
 * A reference that is all zero is compared absolutely.
 */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity;
  let squares = 0;
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const e = expected[i]!;
    const error = Math.abs(actual[i]! - e);
    if (!(error >= 0)) return Infinity;
    squares += e * e;
    worst = Math.max(worst, error);
  }
  const rms = Math.sqrt(squares / Math.max(1, expected.length));
  return worst === 0 ? 0 : worst / (rms || 1);
}

/** @param bound of the largest error relative to the expected RMS; say where it comes from beside the call */
export function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, bound: number, what: string): void {
  const error = relativeError(actual, expected);
  if (error <= bound) return;
  let worst = 0;
  let at = -1;
  for (let i = 0; i < expected.length; i++) {
    const e = Math.abs(actual[i]! - expected[i]!);
    if (at < 0 || !(e <= worst)) [worst, at] = [e, i];
    if (Number.isNaN(e)) break;
  }
  expect.fail(
    `${what}: error ${error.toExponential(2)} of RMS exceeds ${bound}; worst at ${at}: got ${actual[at]}, expected ${expected[at]}`,
  );
}

/**
 * The negative control: `check` must fail when the shader's text is changed by `mutate` (which must change it).
 * `sourcePath` is the shader's path without .wgsl.
 */
export async function expectMutantToFail(
  gpu: Gpu,
  sources: Readonly<Record<string, string>>,
  sourcePath: string,
  mutate: (text: string) => string,
  check: () => Promise<void>,
): Promise<void> {
  const { PipelineCache } = await import('../../src/gpu/pipeline.ts');
  const text = sources[sourcePath];
  if (text === undefined) throw new Error(`no shader ${sourcePath}`);
  const header = /^(\/\/.*\n)*/.exec(text)![0]; // a mutation of the comment would prove nothing
  const mutated = header + mutate(text.slice(header.length));
  if (mutated === text) throw new Error(`the mutation does not change ${sourcePath}`);
  const healthy = gpu.pipelines;
  const broken = new PipelineCache(gpu.device, gpu.counters, { ...sources, [sourcePath]: mutated });
  Object.assign(gpu, { pipelines: broken });
  let survived = false;
  try {
    await check();
    survived = true;
  } catch {
    // The suite noticed.
  } finally {
    Object.assign(gpu, { pipelines: healthy });
  }
  expect(survived, `a broken ${sourcePath} passes its own tests`).toBe(false);
}
