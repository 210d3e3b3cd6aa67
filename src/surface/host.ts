/** Answers what is asked of a model, in the thread where the engine runs. */
import { InvalidRequest } from '../errors.ts';
import type { GenerateOptions } from '../engine/generation.ts';
import type { Model } from '../engine/model.ts';
import { invariant } from '../util/assert.ts';
import type { Args, CallName, GenerateArgs, ModelFacts, ModelState, Result } from './calls.ts';
import type { Context, Handlers } from './connection.ts';
import { join, type SplitOptions } from './options.ts';

export interface OpenedEngine {
  readonly model: Model;
  /** What the source calls itself. */
  readonly label: string;
}

/** Loads what was asked for: in a worker from what could be sent, in one thread from the source itself. */
export type OpenEngine = (
  source: unknown,
  options: Readonly<Record<string, unknown>>,
  context: Context,
) => Promise<OpenedEngine>;

type Answers = {
  readonly [K in CallName]: (model: Model, args: Args<K>, context: Context) => Result<K> | Promise<Result<K>>;
};

function tokenizerOf({ text }: Model): NonNullable<Model['text']>['tokenizer'] {
  if (!text) throw new InvalidRequest('This model has no tokenizer.json', {});
  return text.tokenizer;
}

const untilAborted = (signal: AbortSignal, stop: () => void): Promise<void> =>
  new Promise((resolve) => signal.addEventListener('abort', () => resolve(stop()), { once: true }));

const ANSWERS: Answers = {
  expertStats: (model) => model.expertStats(),
  expertPlaces: (model) => model.expertPlaces(),
  cacheReport: (model, _args, { signal }) => model.cacheReport({ signal }),
  logits: (model, [ids, options], { signal }) => model.logits(ids, { ...options, signal }),
  embed: (model, [input, options], { signal }) => model.embed(input, { ...options, signal }),
  label: (model, [text], { signal }) => model.label(text, { signal }),
  setGpuBytes: (model, [bytes]) => model.setGpuBytes(bytes),
  evict: (model, [layer, expert]) => model.evict(layer, expert),
  settled: (model) => model.settled(),
  counters: (model) => model.counters,
  gpuBytes: (model) => model.gpuBytes,
  encode: (model, [text, options]) => tokenizerOf(model).encode(text, options),
  decode: (model, [ids, options]) => tokenizerOf(model).decode(ids, options),
  render(model, [messages, options]) {
    if (!model.text?.template) throw new InvalidRequest('This model has no chat template', {});
    const pieces = model.text.template.render(messages, options);
    return pieces.map(({ text }) => text).join('');
  },
  steps: (model, [level], { signal, emit }) => untilAborted(signal, model.onStep(emit, level)),
  recovery: (model, _args, { signal, emit }) => untilAborted(signal, model.onRecovery(emit)),
  async lost(model) {
    const { reason, message } = await model.lost; // a GPUDeviceLostInfo cannot be cloned
    return { reason, message };
  },
  dispose: (model) => model.dispose(),
};

/** Their results are made for the caller, who gets the memory itself. */
const TRANSFERS: ReadonlySet<string> = new Set<CallName>(['logits', 'embed']);

export class Host {
  readonly #open: OpenEngine;
  #model: Model | null = null;

  constructor(open: OpenEngine) {
    this.#open = open;
  }

  get state(): ModelState | null {
    if (!this.#model) return null;
    const { plan, device, kept } = this.#model;
    return { plan, device, kept };
  }

  readonly handlers: Handlers = {
    calls: {
      load: ([source, options], context) => this.#load(source, options as SplitOptions, context),
      ...Object.fromEntries(
        Object.entries(ANSWERS).map(([name, answer]) => [
          name,
          (args: readonly unknown[], context: Context) =>
            (answer as (model: Model, args: readonly unknown[], context: Context) => unknown)(
              this.#loaded(),
              args,
              context,
            ),
        ]),
      ),
    },
    streams: {
      generate: (args, context) => {
        const [prompt, options] = args as GenerateArgs;
        return this.#loaded().generate(prompt, join(options, context) as GenerateOptions);
      },
    },
    transfers: TRANSFERS,
  };

  async dispose(): Promise<void> {
    await this.#model?.dispose();
  }

  #loaded(): Model {
    invariant(this.#model, 'a model is asked before it is loaded');
    return this.#model;
  }

  async #load(source: unknown, options: SplitOptions, context: Context): Promise<ModelFacts> {
    invariant(!this.#model, 'a model is loaded twice');
    const { model, label } = await this.#open(source, join(options, context), context);
    if (context.signal.aborted) {
      await model.dispose();
      throw context.signal.reason;
    }
    this.#model = model;
    const { config, device, samplingDefaults, endTokens, text, plan, kept, tuning } = model;
    const tokenizer = text && { vocabSize: text.tokenizer.vocabSize };
    const template = text?.template?.source ?? null;
    return { id: label, config, device, samplingDefaults, endTokens, tokenizer, template, plan, kept, tuning };
  }
}
