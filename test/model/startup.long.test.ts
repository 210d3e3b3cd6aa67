/** What a load compiles and when, what the first answer finds ready, and how a load ends while shaders compile. */
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import type { GenerateOptions } from '../../src/engine/generation.ts';
import { loadOn, type LoadOptions } from '../../src/engine/load.ts';
import type { Model } from '../../src/engine/model.ts';
import type { LoadProgress } from '../../src/engine/progress.ts';
import { openGpu } from '../../src/gpu/open.ts';
import { InvariantError } from '../../src/util/assert.ts';
import type { ByteSource } from '../../src/weights/source.ts';
import { LosableGpu, type LosableDevice, type Moment } from '../support/losable.ts';
import { filesOf, fixturePath } from '../support/models.ts';
import { openModelDawn } from '../support/gpu.ts';
import { memorySource } from '../support/weights.ts';

const gpu = new LosableGpu(await openModelDawn());
afterAll(() => gpu.dispose());
afterEach(() => gpu.reset());

const files = filesOf(fixturePath('families/olmoe'));
/** Three chunks, and n-grams to guess from. */
const PROMPT = Array.from({ length: 20 }, (_, i) => 1 + (i % 5));

interface Setting {
  readonly load?: Omit<LoadOptions, 'gpu'>;
  /** Kernels and habits of a GPU that is no software adapter. */
  readonly hardware?: boolean;
  readonly answer?: GenerateOptions;
}

/** The fixture in memory; `onRead` is called when the first byte of weights is asked for. */
function sourceOf(onRead: (signal?: AbortSignal) => unknown): {
  readonly source: ByteSource;
  onProgress(p: LoadProgress): void;
} {
  const inner = memorySource(files);
  let isOpen = false;
  const source: ByteSource = {
    label: 'memory',
    size: (file) => inner.size(file),
    async *stream(file, begin, end, signal) {
      if (isOpen) await onRead(signal);
      yield* inner.stream(file, begin, end, signal);
    },
  };
  return { source, onProgress: ({ phase }) => void (isOpen ||= phase === 'weights') };
}

async function open({ load = {}, hardware = false }: Setting, onRead: (signal?: AbortSignal) => unknown = () => null) {
  const { source, onProgress } = sourceOf(onRead);
  const own = await openGpu({ gpu: gpu.asGpu, kernels: 'gpu', defaultLimits: true });
  const { facts } = own;
  const on = hardware ? own.share({ ...facts, adapter: { ...facts.adapter, isFallback: false } }) : own;
  const options = { contextLength: 64, prefillChunk: 8, collect: false, onProgress, ...load };
  return { device: gpu.last, gpu: on, loading: loadOn(on, source, options) };
}

async function answer(model: Model, ids: readonly number[], options: GenerateOptions = {}): Promise<void> {
  for await (const token of model.generate({ ids: [...ids] }, { maxTokens: 6, ignoreEnd: true, ...options }))
    void token;
}

const MADE = ['pipeline', 'bindGroupLayout', 'bindGroup', 'createBuffer'] as const satisfies readonly Moment[];
type Made = Record<(typeof MADE)[number], number>;
const madeOn = (device: LosableDevice): Made =>
  Object.fromEntries(MADE.map((moment) => [moment, device.count(moment)])) as Made;

const half = { expertsResident: 0.5, weights: 'q8' } as const;
const SETTINGS: readonly (readonly [string, Setting])[] = [
  ['every expert on the GPU, tokens guessed', { load: { speculate: true }, answer: { temperature: 0.8, topK: 20 } }],
  ['a GPU, which is measured', { hardware: true }],
  ['the same GPU, when the measure is known', { hardware: true, answer: { temperature: 0 } }],
  ['half of the experts, quantised as they come, a layer at a time', { load: { ...half, mode: 'lockstep' } }],
  ['half of the experts, a whole pass at a time', { load: { ...half, mode: 'optimistic' } }],
  ['used before its experts are there', { load: { weights: 'q4', start: 'early' } }],
  ['several requests at once', { load: { requests: { inFlight: 2 } } }],
  ['a biased, masked draw that names the likeliest', { answer: { topLogprobs: 3, logitBias: { 3: 1 } } }],
];

describe.each(SETTINGS)('%s', (_, setting) => {
  it('has every pipeline asked for before the first weight, none waited for, and makes none after loading', async () => {
    let asked = 0;
    let release: () => void = () => undefined;
    const isRead = new Promise<void>((resolve) => (release = resolve));
    gpu.holdsPipeline = () => isRead;
    const { device, loading } = await open(setting, () => {
      asked ||= gpu.last.count('pipeline');
      release();
    });
    const model = await loading;
    expect(asked).toBeGreaterThan(10);
    expect(device.count('pipeline')).toBe(asked);

    const { pipeline, bindGroupLayout } = madeOn(device);
    await answer(model, PROMPT, setting.answer);
    expect(madeOn(device)).toMatchObject({ pipeline, bindGroupLayout });
    await model.dispose();
  });
});

it('has compiled what any measure of the GPU may choose', async () => {
  const { device, gpu: on, loading } = await open({ hardware: true, load: { contextLength: 128, prefillChunk: 128 } });
  await loading.then((model) => answer(model, PROMPT));
  for (const tileRows of [16, 32] as const)
    for (const fewUpTo of [1, 8]) {
      const { source } = sourceOf(() => null);
      const made = device.count('pipeline');
      const tune = { tileRows, fewUpTo };
      const model = await loadOn(on.share(), source, { contextLength: 128, prefillChunk: 128, collect: false, tune });
      await answer(model, PROMPT);
      expect(device.count('pipeline'), JSON.stringify(tune)).toBe(made);
      await model.dispose();
    }
  on.dispose();
});

it('asks of the first prompt what it asks of a later one of its length, and makes nothing for it', async () => {
  const { device, loading } = await open({});
  const model = await loading;
  const work = async (ids: readonly number[]) => {
    const [made, before] = [madeOn(device), model.counters];
    await answer(model, ids, { maxTokens: 1 });
    expect(madeOn(device)).toEqual(made);
    const { dispatches, passes, submits, readbacks, readbackBytes, uploadBytes } = model.counters;
    return [
      dispatches - before.dispatches,
      passes - before.passes,
      submits - before.submits,
      readbacks - before.readbacks,
      readbackBytes - before.readbackBytes,
      uploadBytes - before.uploadBytes,
    ];
  };
  const first = await work(PROMPT);
  expect(first[2]).toBe(3); // chunks
  expect(await work(PROMPT.map((id) => id + 5))).toEqual(first);
  await model.dispose();
});

describe('a load that ends while shaders compile', () => {
  const untilAborted = (signal?: AbortSignal): Promise<void> =>
    new Promise((_, reject) => {
      const end = (): void => reject(signal!.reason as Error);
      if (signal!.aborted) end();
      else signal!.addEventListener('abort', end);
    });

  it.each(['weights', 'compile'])('%s not there yet: aborted, it ends at once and leaves nothing', async (last) => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    gpu.holdsPipeline = () => held;
    const controller = new AbortController();
    const reason = new Error('enough');
    const abort = (): void => void setTimeout(() => controller.abort(reason), 0);
    let phase = '';
    const onProgress = (p: LoadProgress): void => {
      ({ phase } = p);
      if (phase === 'compile') abort();
    };
    const { source, onProgress: opened } = sourceOf((signal) => {
      if (last === 'compile') return null;
      abort();
      return untilAborted(signal);
    });
    const own = await openGpu({ gpu: gpu.asGpu, kernels: 'gpu', defaultLimits: true });
    const both = (p: LoadProgress): void => [opened, onProgress].forEach((tell) => tell(p));
    const loading = loadOn(own, source, { contextLength: 64, signal: controller.signal, onProgress: both });
    await expect(loading).rejects.toBe(reason);
    expect(phase).toBe(last);
    expect(gpu.last.live.size).toBe(0);
    // Destroying a device stands still while it compiles.
    expect(gpu.last.isLost).toBe(false);
    release();
    await expect.poll(() => gpu.last.isLost, { timeout: 60_000 }).toBe(true);
  });

  it('fails with the shader that does not compile, without waiting for the weights', async () => {
    gpu.holdsPipeline = () => Promise.reject(new DOMException('no', 'OperationError'));
    const { device, loading } = await open({}, untilAborted);
    const error: unknown = await loading.catch((e: unknown) => e);
    expect(error).toBeInstanceOf(InvariantError);
    expect((error as Error).message).toMatch(/does not compile/);
    expect(device.live.size).toBe(0);
  });
});
