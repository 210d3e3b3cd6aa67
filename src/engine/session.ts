/**
 * One conversation on the GPU: which tokens the KV cache holds, prefill in chunks, one token at a time after that.
 * One submit and one small readback a token; nothing is created after `open`.
 */
import { subview, wholeBuffer, type BufferView } from '../gpu/buffer.ts';
import { InvalidCheckpoint } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { Program } from '../gpu/recording.ts';
import type { ApproximateParams, DrawOptions, SamplingParams } from '../gpu/step.ts';
import { promptCounts, raisedCount, readSampled, SAMPLED_WORDS } from '../kernels/sample/sample.ts';
import { MOST_SAMPLED_BYTES, readTopLogprobs, sampledWords, type RankedToken } from '../kernels/sample/top_logprobs.ts';
import type { ExpertStore } from '../moe/store.ts';
import { invariant } from '../util/assert.ts';
import type { Batch, Forward, Taps } from './forward.ts';
import type { ModePicker } from './mode.ts';
import type { LayerRouting } from './routing.ts';
import { StepRecord } from './step-record.ts';
import { Stepper, type Bodies, type Tail, type TailResult } from './stepper.ts';

/** What one draw obeys. */
export interface DrawParams extends SamplingParams {
  /** [V] added to the logits; null adds nothing. The same array means the same values. */
  readonly bias?: Float32Array<ArrayBuffer> | null;
  /** [ceil(V / 32)] the tokens that may be drawn, bit id % 32 of word id / 32; null: any. The same array means the same tokens. */
  readonly allowed?: Uint32Array<ArrayBuffer> | null;
  /** How many of the likeliest tokens to name, at most MAX_TOP_LOGPROBS. */
  readonly topLogprobs?: number;
}

export interface DrawnToken {
  readonly id: number;
  /** Natural logarithm of its probability under the plain softmax of the logits. */
  readonly logprob: number;
  /** The likeliest tokens, as many as were asked for. */
  readonly topLogprobs: readonly RankedToken[];
  /** Routing of the step that produced it, one entry a MoE layer. */
  readonly routing: readonly LayerRouting[];
}

const notFinite = (broken: number, what: string): InvalidCheckpoint =>
  new InvalidCheckpoint(
    'not-finite',
    `The model computed ${broken} ${what} that are no finite numbers: its weights are damaged, or overflow f32`,
    { broken, what },
  );

function assertFinite(values: Float32Array, what: string): void {
  let broken = 0;
  for (const value of values) if (!Number.isFinite(value)) broken++;
  if (broken > 0) throw notFinite(broken, what);
}

export interface SessionParts {
  readonly gpu: Gpu;
  readonly forward: Forward;
  readonly store: ExpertStore;
  readonly modes: ModePicker;
  readonly approximate: ApproximateParams;
  /** Called with every exact step. */
  readonly onStep: (record: StepRecord) => void;
  /** Whether anybody reads what each layer used. */
  readonly isWatched: () => boolean;
}

interface Programs {
  readonly bodies: Bodies;
  readonly head: Program;
  readonly sampling: Program;
  readonly topLogprobs: Program;
}

export class Session {
  readonly #parts: SessionParts;
  readonly #gpu: Gpu;
  readonly #forward: Forward;
  #programs: Programs;
  readonly #stepper: Stepper;
  #cached: number[] = [];
  /** What the GPU's token counts are when no guess is running: see kernels/sample. */
  #counts: Uint32Array<ArrayBuffer>;
  /** The first id of the next step that is on the GPU already. */
  #nextOnGpu: number | null = null;
  /** What the GPU's copies were written from. */
  #biasOnGpu: DrawParams['bias'] = null;
  #allowedOnGpu: DrawParams['allowed'] = null;

  private constructor(parts: SessionParts, programs: Programs) {
    const { gpu, forward, store, modes } = parts;
    this.#parts = parts;
    this.#gpu = gpu;
    this.#forward = forward;
    this.#programs = programs;
    this.#counts = new Uint32Array(forward.config.vocab);
    this.#stepper = new Stepper({ gpu, forward, store, modes, tailBytes: MOST_SAMPLED_BYTES });
  }

  static async open(parts: SessionParts): Promise<Session> {
    return new Session(parts, await record(parts.forward));
  }

  /** Records every program again: after arenas were replaced. */
  async rerecord(): Promise<void> {
    this.#programs = await record(this.#forward);
  }

  /** Tokens whose keys and values are in the cache. */
  get cached(): readonly number[] {
    return this.#cached;
  }

  /** How many leading tokens of `ids` need not be computed again; the last one always is, for its logits. */
  reusable(ids: readonly number[]): number {
    const most = Math.min(this.#cached.length, ids.length - 1);
    let n = 0;
    while (n < most && this.#cached[n] === ids[n]) n++;
    return n;
  }

  forget(): void {
    this.#cached = [];
  }

  /** Prepares the token counts that penalties read. Once a request. */
  startRequest(prompt: readonly number[]): void {
    this.#counts = promptCounts(prompt, this.#forward.config.vocab);
    this.#gpu.write(this.#forward.tokenCounts, this.#counts);
  }

  /**
   * Runs what is new of `prompt` and draws the token after it.
   * @param onChunk called after each chunk with the number of prompt tokens in the cache
   */
  async prefill(
    prompt: readonly number[],
    sampling: DrawParams,
    signal?: AbortSignal,
    onChunk?: (done: number) => void,
  ): Promise<DrawnToken> {
    invariant(prompt.length > 0, 'an empty prompt');
    const { prefillChunk } = this.#forward.plan;
    this.#cached.length = this.reusable(prompt);
    for (;;) {
      signal?.throwIfAborted();
      const position = this.#cached.length;
      const chunk = prompt.slice(position, position + prefillChunk);
      const isLast = position + chunk.length === prompt.length;
      this.#nextOnGpu = null;
      this.#gpu.write(this.#forward.ids, Uint32Array.from(chunk));
      if (isLast) return this.#draw(chunk, 'prefill', sampling, signal);
      this.#forward.setStep(chunk.length, position, sampling, this.#parts.approximate);
      await this.#run(chunk, 'prefill', null, signal);
      this.#cached.push(...chunk);
      onChunk?.(this.#cached.length);
    }
  }

  /** Feeds the token drawn last and draws the next. */
  step(last: number, sampling: DrawParams, signal?: AbortSignal): Promise<DrawnToken> {
    if (this.#nextOnGpu !== last) this.#gpu.write(this.#forward.ids, Uint32Array.of(last));
    return this.#draw([last], 'decode', sampling, signal);
  }

  async #draw(
    tokens: readonly number[],
    phase: StepRecord['phase'],
    sampling: DrawParams,
    signal: AbortSignal | undefined,
  ): Promise<DrawnToken> {
    this.#nextOnGpu = null; // whatever happens until the token is drawn for good
    const top = sampling.topLogprobs ?? 0;
    const draw = { ...sampling, ...this.#writeLimits(sampling) };
    this.#forward.setStep(tokens.length, this.#cached.length, draw, this.#parts.approximate);
    const tail = this.#drawing(top);
    const result = await this.#run(tokens, phase, tail, signal);
    this.#cached.push(...tokens);
    const { id, logprob, brokenLogits } = readSampled(new Uint32Array(result!.bytes, 0, SAMPLED_WORDS));
    if (brokenLogits > 0) throw notFinite(brokenLogits, 'logits');
    this.#counts[id] = raisedCount(this.#counts[id]!);
    this.#nextOnGpu = id;
    const words = new Uint32Array(result!.bytes, 0, sampledWords(top));
    const topLogprobs = readTopLogprobs(words, top, this.#forward.config.vocab);
    return { id, logprob, topLogprobs, routing: result!.routing };
  }

  /** Brings a draw's bias and mask to the GPU, unless they are there. Without them nothing is written. */
  #writeLimits({ bias = null, allowed = null }: DrawParams): DrawOptions {
    if (bias && bias !== this.#biasOnGpu) this.#gpu.write(this.#forward.bias, (this.#biasOnGpu = bias));
    if (allowed && allowed !== this.#allowedOnGpu)
      this.#gpu.write(this.#forward.allowed, (this.#allowedOnGpu = allowed));
    return { isBiased: bias !== null, isMasked: allowed !== null };
  }

  #drawing(top: number): Tail {
    const { head, sampling, topLogprobs } = this.#programs;
    return {
      programs: top > 0 ? [head, sampling, topLogprobs] : [head, sampling],
      view: subview(this.#forward.sampled, 0, 4 * sampledWords(top)),
      undo: (bytes) => this.#undoDraw(bytes),
    };
  }

  /** A token drawn from a pass that missed experts: its count goes back, and the draw that follows overwrites the rest. */
  #undoDraw(bytes: ArrayBuffer): void {
    const { id } = readSampled(new Uint32Array(bytes, 0, SAMPLED_WORDS));
    this.#gpu.write(this.#forward.tokenCounts, this.#counts.subarray(id, id + 1), 4 * id);
  }

  /** Runs one exact step at the end of the cache. */
  async #run(
    tokens: readonly number[],
    phase: StepRecord['phase'],
    tail: Tail | null,
    signal: AbortSignal | undefined,
    bodies = this.#programs.bodies,
  ): Promise<TailResult | null> {
    const shape = { tokens: tokens.length, position: this.#cached.length };
    const layers = this.#parts.store.experts.length;
    const record = new StepRecord(layers, { phase, ...shape }, this.#parts.isWatched());
    const result = await this.#stepper.run({ shape, bodies, tail, signal, record });
    record.finish();
    if (record.mode !== 'resident' && record.tokens === 1) this.#parts.modes.learn(record);
    this.#parts.store.endStep(record.ms);
    this.#parts.onStep(record);
    return result;
  }

  /**
   * Logits of every token of `ids`, from an empty cache, in chunks; with the routing and, when asked, the hidden states.
   * A tool for tests, perplexity and `webmoe logits`, not for chatting: it makes buffers of its own.
   */
  async logits(
    ids: readonly number[],
    options: { readonly hidden?: boolean; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<LogitsResult> {
    const { config, plan } = this.#forward;
    const { vocab, hidden } = config;
    const layers = config.layers.length;
    const limit = this.#gpu.facts.limits.maxStorageBufferBindingSize;
    const widest = Math.max(vocab, options.hidden ? (layers + 1) * hidden : 0);
    const most = Math.max(1, Math.min(plan.prefillChunk, Math.floor(limit / (4 * widest))));
    const scratch = (label: string, bytes: number): BufferView =>
      wholeBuffer(this.#gpu.createBuffer(label, 'activations', bytes));
    const out = scratch('all logits', most * vocab * 4);
    const normed = scratch('final norm', most * hidden * 4);
    const taps = options.hidden ? scratch('taps', (layers + 1) * most * hidden * 4) : null;
    try {
      const all = await this.#forward.allLogits(out, normed);
      const bodies = taps ? await recordBodies(this.#forward, { hidden: taps, tokens: most }) : undefined;
      const tail: Tail = { programs: [all], view: null, undo: () => undefined };
      const routing = this.#forward.routing('one').slices.map(({ topK }): LayerRouting => ({
        ids: new Uint32Array(ids.length * topK),
        weights: new Float32Array(ids.length * topK),
      }));
      const result: LogitsResult = {
        logits: new Float32Array(ids.length * vocab),
        routing,
        hidden: taps ? new Float32Array((layers + 1) * ids.length * hidden) : null,
      };
      this.forget();
      this.#nextOnGpu = null;
      for (let position = 0; position < ids.length; position += most) {
        options.signal?.throwIfAborted();
        const chunk = ids.slice(position, position + most);
        this.#gpu.write(this.#forward.ids, Uint32Array.from(chunk));
        this.#forward.setStep(chunk.length, position, undefined, this.#parts.approximate);
        const batch: Batch = chunk.length === 1 ? 'one' : 'chunk';
        await this.#run(chunk, 'prefill', tail, options.signal, bodies);
        this.#cached.push(...chunk);
        const logits = new Float32Array(await this.#gpu.read(subview(out, 0, chunk.length * vocab * 4)));
        assertFinite(logits, 'logits');
        result.logits.set(logits, position * vocab);
        await this.#readRouting(batch, chunk.length, position, routing);
        if (taps && result.hidden) {
          for (let l = 0; l <= layers; l++) {
            const view =
              l < layers
                ? subview(taps, l * most * hidden * 4, chunk.length * hidden * 4)
                : subview(normed, 0, chunk.length * hidden * 4);
            result.hidden.set(new Float32Array(await this.#gpu.read(view)), (l * ids.length + position) * hidden);
          }
        }
      }
      return result;
    } finally {
      for (const view of [out, normed, taps]) if (view) this.#gpu.destroyBuffer(view.buffer);
    }
  }

  /**
   * The final norm's output for every token of `ids`, from an empty cache, in chunks. Makes buffers of its own, as `logits` does.
   * @param onChunk receives [tokens of the chunk, D]
   */
  async finalHidden(
    ids: readonly number[],
    onChunk: (values: Float32Array) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const { config, plan } = this.#forward;
    const most = plan.prefillChunk;
    const buffer = this.#gpu.createBuffer('final norm', 'activations', most * config.hidden * 4);
    const normed = wholeBuffer(buffer);
    try {
      const tail: Tail = { programs: [await this.#forward.finalNorm(normed)], view: null, undo: () => undefined };
      this.forget();
      this.#nextOnGpu = null;
      for (let position = 0; position < ids.length; position += most) {
        signal?.throwIfAborted();
        const chunk = ids.slice(position, position + most);
        this.#gpu.write(this.#forward.ids, Uint32Array.from(chunk));
        this.#forward.setStep(chunk.length, position, undefined, this.#parts.approximate);
        await this.#run(chunk, 'prefill', tail, signal);
        this.#cached.push(...chunk);
        const values = new Float32Array(await this.#gpu.read(subview(normed, 0, chunk.length * config.hidden * 4)));
        assertFinite(values, 'hidden states');
        onChunk(values);
      }
    } finally {
      this.#gpu.destroyBuffer(buffer);
    }
  }

  async #readRouting(batch: Batch, tokens: number, position: number, into: readonly LayerRouting[]): Promise<void> {
    const { view, slices } = this.#forward.routing(batch);
    if (!slices.length) return;
    const bytes = await this.#gpu.read(view);
    slices.forEach(({ topK, offset }, m) => {
      for (let t = 0; t < tokens; t++) {
        const at = offset + t * topK * 8;
        into[m]!.ids.set(new Uint32Array(bytes, at, topK), (position + t) * topK);
        into[m]!.weights.set(new Float32Array(bytes, at + 4 * topK, topK), (position + t) * topK);
      }
    });
  }

  dispose(): void {
    this.#stepper.dispose();
  }
}

async function recordBodies(forward: Forward, taps?: Taps): Promise<Bodies> {
  const [one, chunk, waves] = await Promise.all([
    forward.body('one', { taps }),
    forward.body('chunk', { taps }),
    forward.body('chunk', { taps, waves: true }),
  ]);
  return { one, chunk, waves };
}

async function record(forward: Forward): Promise<Programs> {
  const [bodies, head, sampling, topLogprobs] = await Promise.all([
    recordBodies(forward),
    forward.lastLogits(),
    forward.sampling(),
    forward.topLogprobs(),
  ]);
  return { bodies, head, sampling, topLogprobs };
}

export interface LogitsResult {
  readonly logits: Float32Array; // [T, V]
  /** One entry a MoE layer: ids and weights [T, K], in rank order. */
  readonly routing: readonly LayerRouting[];
  /** [L+1, T, D]: embedding output, the residual stream after each layer but the last, the final norm's output. */
  readonly hidden: Float32Array | null;
}
