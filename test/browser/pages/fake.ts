/** The chat page on a model that the test scripts: `window.fake` plays the engine. */
import { App } from '../../../demo/app.ts';
import type { ChatModel, PagePlan } from '../../../demo/engine.ts';
import { readOptions } from '../../../demo/options.ts';
import { fakePlan, StoreScript } from './fake-store.ts';
import { StorageScript } from './fake-storage.ts';
import {
  DeviceCapability,
  InvalidRequest,
  OutOfBudget,
  SourceError,
  UnsupportedModel,
  type GeneratedToken,
  type GenerateOptions,
  type GenerateSummary,
  type LoadOptions,
  type LoadProgress,
  type RecoveryEvent,
  type Support,
} from '../../../src/index.ts';

const CONTEXT = 200;

const ERRORS = {
  'out-of-budget': () =>
    new OutOfBudget('The model takes 14000000000 bytes of GPU memory, the budget is 6442450944', {
      totalBytes: 14e9,
      budgetBytes: 6 * 2 ** 30,
    }),
  limit: () =>
    new DeviceCapability('limit', 'The model needs 16 storage buffers per stage', {
      limit: 'maxStorageBuffersPerShaderStage',
      needed: 16,
      available: 8,
    }),
  source: () => new SourceError('https://example.org/m/: model.safetensors gave status 503'),
  unsupported: () => new UnsupportedModel('model_type "mamba" is not known'),
  fault: () => new TypeError('x is undefined'),
  'in-use': () => new InvalidRequest('The model is in use in another tab: close that first', {}),
  full: () => new InvalidRequest('The prompt has 300 tokens', { promptTokens: 300, contextLength: CONTEXT }),
} as const;
export type FakeError = keyof typeof ERRORS;

/** An async queue: what the test pushes, the page's loop takes. */
class Queue<T> {
  readonly #items: T[] = [];
  #wake: (() => void) | undefined;

  push(item: T): void {
    this.#items.push(item);
    this.#wake?.();
  }

  async take(): Promise<T> {
    while (this.#items.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.#items.shift() as T;
  }
}

type Event = { readonly text: string } | { readonly end: Partial<GenerateSummary> } | { readonly error: FakeError };

export class Fake {
  readonly prompts: unknown[] = [];
  /** What each of them asked for beside the prompt. */
  readonly asked: Partial<GenerateOptions>[] = [];
  readonly loads: { readonly prefillChunk: number | undefined; readonly gpuBytes: number | undefined }[] = [];
  /** What was planned and loaded. */
  readonly sources: { readonly call: 'plan' | 'load'; readonly source: unknown }[] = [];
  /** The graphics memory of every plan. */
  readonly plans: (number | undefined)[] = [];
  /** The experts of the model; null when it has no store. */
  readonly store = params.has('store') ? new StoreScript((kind) => ERRORS[kind]()) : null;
  readonly storage = new StorageScript(params.get('storage') ?? 'full', (kind) => ERRORS[kind]());
  disposed = 0;
  #events = new Queue<Event>();
  #failingPlan: FakeError | null = null;
  #load: { options: LoadOptions; resolve: (model: ChatModel) => void; reject: (error: unknown) => void } | undefined;
  #onRecovery: ((event: RecoveryEvent) => void) | undefined;
  #lose: ((info: { reason: string; message: string }) => void) | undefined;

  failNextPlan(kind: FakeError): void {
    this.#failingPlan = kind;
  }

  async plan(gpuBytes?: number): Promise<PagePlan> {
    this.plans.push(gpuBytes);
    const failing = this.#failingPlan;
    this.#failingPlan = null;
    if (failing) throw ERRORS[failing]();
    return { ...plan, ...(this.store && fakePlan(gpuBytes)) };
  }

  progress(progress: LoadProgress): void {
    this.#load?.options.onProgress?.(progress);
  }

  finishLoad(): void {
    this.#load?.resolve(this.#model());
  }

  failLoad(kind: FakeError): void {
    this.#load?.reject(ERRORS[kind]());
  }

  say(text: string): void {
    this.#events.push({ text });
  }

  end(summary: Partial<GenerateSummary> = {}): void {
    this.#events.push({ end: summary });
  }

  fail(kind: FakeError): void {
    this.#events.push({ error: kind });
  }

  lose(reason: string, message: string): void {
    this.#lose?.({ reason, message });
  }

  recover(phase: RecoveryEvent['phase'], attempt: number, reason = ''): void {
    this.#onRecovery?.({ phase, attempt, reason, ms: 0 });
  }

  load(options: LoadOptions): Promise<ChatModel> {
    this.loads.push({ prefillChunk: options.prefillChunk, gpuBytes: options.gpuBytes });
    return new Promise((resolve, reject) => {
      this.#load = { options, resolve, reject };
      options.signal?.addEventListener('abort', () => reject(options.signal?.reason));
    });
  }

  #model(): ChatModel {
    this.#events = new Queue<Event>();
    const { gpuBytes } = this.loads.at(-1)!;
    return {
      plan: { ...plan, ...(this.store && fakePlan(gpuBytes)) },
      ...this.store?.open(gpuBytes),
      device,
      lost: new Promise((resolve) => (this.#lose = resolve)),
      onRecovery: (listener) => {
        this.#onRecovery = listener;
        return () => undefined;
      },
      dispose: async () => void this.disposed++,
      samplingDefaults: {
        temperature: 0.6,
        topK: 20,
        topP: 0.95,
        minP: 0,
        repetitionPenalty: 1,
        presencePenalty: 0,
        frequencyPenalty: 0,
      },
      generate: (prompt, options = {}) => {
        this.asked.push(JSON.parse(JSON.stringify({ ...options, signal: undefined })) as GenerateOptions);
        return this.#generate(prompt, options.signal);
      },
    };
  }

  async *#generate(prompt: unknown, signal?: AbortSignal): AsyncGenerator<GeneratedToken, GenerateSummary, void> {
    this.prompts.push(prompt);
    const aborted = new Promise<Event>((resolve) =>
      signal?.addEventListener('abort', () => resolve({ end: { finishReason: 'abort' } })),
    );
    let written = '';
    for (let tokens = 0; ; tokens++) {
      const event = await Promise.race([this.#events.take(), aborted]);
      if ('error' in event) throw ERRORS[event.error]();
      if ('end' in event)
        return {
          finishReason: 'stop',
          text: written,
          promptTokens: 20,
          cachedTokens: 0,
          generatedTokens: tokens,
          seed: 1,
          timeToFirstTokenMs: 250,
          tokensPerSecond: tokens > 1 ? 12.5 : null,
          approximations: [],
          ...event.end,
        };
      written += event.text;
      yield { id: 0, text: event.text, logprob: 0, routing: [] };
    }
  }
}

const params = new URLSearchParams(location.search);

/** The reason; empty: there is no WebGPU. */
const unsupported = params.get('unsupported') as Extract<Support, { ok: false }>['reason'] | '' | null;

const device: ChatModel['device'] = {
  adapter: { vendor: 'acme', architecture: 'gen-1', description: 'Acme 3000', isFallback: params.has('software') },
  kernels: 'gpu',
  arithmetic: 'f32',
  matrices: null,
  features: new Set(['shader-f16']),
  limits: {
    maxBufferSize: 2 ** 28,
    maxStorageBufferBindingSize: 2 ** 27,
    maxStorageBuffersPerShaderStage: 8,
    maxComputeWorkgroupStorageSize: 16384,
    maxComputeInvocationsPerWorkgroup: 256,
    maxComputeWorkgroupSizeX: 256,
    maxComputeWorkgroupsPerDimension: 65535,
  },
};

const plan = {
  precision: 'as-is',
  contextLength: CONTEXT,
  totalBytes: 332e6,
  downloadBytes: 129e6,
  verdict: 'fits',
  budgetBytes: 6e9,
} as PagePlan;

declare global {
  interface Window {
    fake: Fake;
  }
}

window.fake = new Fake();
const app = new App(
  document.getElementById('app')!,
  {
    checkSupport: async () =>
      unsupported !== null
        ? { ok: false, reason: unsupported || 'no-webgpu', message: 'WebGPU is present but offers too little' }
        : { ok: true, device },
    plan: (source, options) => {
      window.fake.sources.push({ call: 'plan', source });
      return window.fake.plan(options?.gpuBytes);
    },
    load: (source, options) => {
      window.fake.sources.push({ call: 'load', source });
      return window.fake.load(options ?? {});
    },
    ...(params.has('storage') && { storage: params.get('storage') === 'none' ? null : window.fake.storage }),
  },
  readOptions(location.search, document.baseURI),
);
void app.start();
