/**
 * One conversation on the GPU: which tokens the KV cache holds, prefill in chunks, one token at a time after that.
 * One submit and one small readback a token; nothing is created after `open`.
 */
import { subview, wholeBuffer, type BufferView } from '../gpu/buffer.ts';
import { InvalidCheckpoint } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { Program } from '../gpu/recording.ts';
import type { ApproximateParams, SamplingParams } from '../gpu/step.ts';
import { promptCounts, raisedCount, readSampled, SAMPLED_BYTES, SAMPLED_WORDS } from '../kernels/sample/sample.ts';
import { routedBytes } from '../kernels/moe/route.ts';
import type { ExpertStore } from '../moe/store.ts';
import { invariant } from '../util/assert.ts';
import type { Batch, Forward, RoutingLogs, Taps } from './forward.ts';
import type { ModePicker } from './mode.ts';
import { NO_INTERVENTIONS, type ResolvedInterventions } from './interventions.ts';
import { chunkRoutingAt, type LayerRouting } from './routing.ts';
import { StepRecord } from './step-record.ts';
import { Stepper, type Bodies, type Tail, type TailResult } from './stepper.ts';

export interface DrawnToken {
  readonly id: number;
  /** Natural logarithm of its probability under the plain softmax of the logits. */
  readonly logprob: number;
  /** Routing of the step that produced it, one entry a MoE layer. */
  readonly routing: readonly LayerRouting[];
}

/** What a request wants to know of its routing. */
export interface RoutingRequest {
  /** With every token. Default true. */
  readonly routing?: boolean;
  /** The routers' logits as well. */
  readonly logits?: boolean;
  /** Called with the routing of each chunk of the prompt, [T, K] a layer, from `position` on: one readback more a chunk. */
  readonly onPrompt?: ((routing: readonly LayerRouting[], position: number, tokens: number) => void) | undefined;
}

const notFinite = (brokenLogits: number): InvalidCheckpoint =>
  new InvalidCheckpoint(
    'not-finite',
    `The model computed ${brokenLogits} logits that are no finite numbers: its weights are damaged, or overflow f32`,
    { brokenLogits },
  );

function assertFinite(logits: Float32Array): void {
  let broken = 0;
  for (const logit of logits) if (!Number.isFinite(logit)) broken++;
  if (broken > 0) throw notFinite(broken);
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
  /** What the request wants to know. */
  #wants: RoutingRequest = {};
  /** With logits in the routing logs: recorded for the first request that wants them. */
  #logitBodies: Promise<Bodies> | null = null;
  /** Those that the keys and values in the cache were computed under. */
  #interventions = NO_INTERVENTIONS;
  /** The first id of the next step that is on the GPU already. */
  #nextOnGpu: number | null = null;

  private constructor(parts: SessionParts, programs: Programs) {
    const { gpu, forward, store, modes } = parts;
    this.#parts = parts;
    this.#gpu = gpu;
    this.#forward = forward;
    this.#programs = programs;
    this.#counts = new Uint32Array(forward.config.vocab);
    this.#stepper = new Stepper({ gpu, forward, store, modes, tailBytes: SAMPLED_BYTES });
  }

  static async open(parts: SessionParts): Promise<Session> {
    return new Session(parts, await record(parts.forward));
  }

  /** Records every program again: after arenas were replaced. */
  async rerecord(): Promise<void> {
    this.#logitBodies = null;
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

  /**
   * Changes the choice of experts from the next step on. Keys and values that were computed under other interventions are forgotten: call it before
   * `reusable`.
   */
  intervene(interventions: ResolvedInterventions): void {
    if (interventions.key === this.#interventions.key) return;
    this.forget();
    this.#interventions = interventions;
    const { interventions: view } = this.#forward;
    this.#gpu.write(view, interventions.words ?? new Uint32Array(view.size / 4));
  }

  /**
   * Prepares the token counts that penalties read, and the programs that log what is wanted. Once a request.
   * @throws OutOfBudget when the GPU has no room for the logits of all routers
   */
  async startRequest(prompt: readonly number[], wants: RoutingRequest = {}): Promise<void> {
    this.#wants = wants;
    if (wants.logits) await this.#bodies();
    this.#counts = promptCounts(prompt, this.#forward.config.vocab);
    this.#gpu.write(this.#forward.tokenCounts, this.#counts);
  }

  #bodies(): Promise<Bodies> | Bodies {
    if (!this.#wants.logits) return this.#programs.bodies;
    return (this.#logitBodies ??= this.#recordLogitBodies().catch((error: unknown) => {
      this.#logitBodies = null;
      throw error;
    }));
  }

  async #recordLogitBodies(): Promise<Bodies> {
    return recordBodies(this.#forward, { logs: await this.#forward.logitLogs() });
  }

  /**
   * Runs what is new of `prompt` and draws the token after it.
   * @param onChunk called after each chunk with the number of prompt tokens in the cache
   */
  async prefill(
    prompt: readonly number[],
    sampling: SamplingParams,
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
  step(last: number, sampling: SamplingParams, signal?: AbortSignal): Promise<DrawnToken> {
    if (this.#nextOnGpu !== last) this.#gpu.write(this.#forward.ids, Uint32Array.of(last));
    return this.#draw([last], 'decode', sampling, signal);
  }

  async #draw(
    tokens: readonly number[],
    phase: StepRecord['phase'],
    sampling: SamplingParams,
    signal: AbortSignal | undefined,
  ): Promise<DrawnToken> {
    const { head, sampling: draw } = this.#programs;
    this.#nextOnGpu = null; // whatever happens until the token is drawn for good
    this.#forward.setStep(tokens.length, this.#cached.length, sampling, this.#parts.approximate);
    const tail: Tail = { programs: [head, draw], view: this.#forward.sampled, undo: (bytes) => this.#undoDraw(bytes) };
    const result = await this.#run(tokens, phase, tail, signal);
    this.#cached.push(...tokens);
    const { id, logprob, brokenLogits } = readSampled(new Uint32Array(result!.bytes, 0, SAMPLED_WORDS));
    if (brokenLogits > 0) throw notFinite(brokenLogits);
    this.#counts[id] = raisedCount(this.#counts[id]!);
    this.#nextOnGpu = id;
    return { id, logprob, routing: result!.routing };
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
    scoring?: Bodies,
  ): Promise<TailResult | null> {
    const bodies = scoring ?? (await this.#bodies());
    const readsRouting = scoring !== undefined || (this.#wants.routing ?? true);
    const shape = { tokens: tokens.length, position: this.#cached.length };
    const layers = this.#parts.store.experts.length;
    const record = new StepRecord(layers, { phase, ...shape }, this.#parts.isWatched());
    record.interventions = this.#interventions.labels;
    const result = await this.#stepper.run({ shape, bodies, tail, signal, record, readsRouting });
    if (phase === 'prefill' && !scoring && this.#wants.onPrompt)
      this.#wants.onPrompt(await this.#routingOf(bodies.logs, shape.tokens), shape.position, shape.tokens);
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
    options: {
      readonly hidden?: boolean;
      readonly signal?: AbortSignal | undefined;
      readonly interventions?: ResolvedInterventions;
    } = {},
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
      const bodies = taps
        ? await recordBodies(this.#forward, { taps: { hidden: taps, tokens: most } })
        : this.#programs.bodies;
      const tail: Tail = { programs: [all], view: null, undo: () => undefined };
      const routing = this.#forward.logs.one.slices.map(({ topK }): LayerRouting => ({
        ids: new Uint32Array(ids.length * topK),
        weights: new Float32Array(ids.length * topK),
      }));
      const result: LogitsResult = {
        logits: new Float32Array(ids.length * vocab),
        routing,
        hidden: taps ? new Float32Array((layers + 1) * ids.length * hidden) : null,
      };
      this.intervene(options.interventions ?? NO_INTERVENTIONS);
      this.forget();
      this.#nextOnGpu = null;
      for (let position = 0; position < ids.length; position += most) {
        options.signal?.throwIfAborted();
        const chunk = ids.slice(position, position + most);
        this.#gpu.write(this.#forward.ids, Uint32Array.from(chunk));
        this.#forward.setStep(chunk.length, position, undefined, this.#parts.approximate);
        await this.#run(chunk, 'prefill', tail, options.signal, bodies);
        this.#cached.push(...chunk);
        const logits = new Float32Array(await this.#gpu.read(subview(out, 0, chunk.length * vocab * 4)));
        assertFinite(logits);
        result.logits.set(logits, position * vocab);
        (await this.#routingOf(bodies.logs, chunk.length)).forEach(({ ids: chosen, weights }, m) => {
          const at = (position * chosen.length) / chunk.length;
          routing[m]!.ids.set(chosen, at);
          routing[m]!.weights.set(weights, at);
        });
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

  /** What the step of `tokens` that ran last left in its log, [T, K] a layer. */
  async #routingOf(logs: RoutingLogs, tokens: number): Promise<LayerRouting[]> {
    const batch: Batch = tokens === 1 ? 'one' : 'chunk';
    const { view, slices } = logs[batch];
    if (slices.length === 0) return [];
    const sizes = slices.map(({ topK, predicted, logits }) => routedBytes(tokens, topK, predicted, logits));
    const bytes = await this.#gpu.readAll(slices.map(({ offset }, m) => subview(view, offset, sizes[m]!)));
    let at = 0;
    return slices.map((slice, m) => {
      const routing = chunkRoutingAt(bytes, at, tokens, slice);
      at += sizes[m]!;
      return routing;
    });
  }

  dispose(): void {
    this.#stepper.dispose();
  }
}

async function recordBodies(
  forward: Forward,
  options: { readonly taps?: Taps; readonly logs?: RoutingLogs } = {},
): Promise<Bodies> {
  const [one, chunk, waves] = await Promise.all([
    forward.body('one', options),
    forward.body('chunk', options),
    forward.body('chunk', { ...options, waves: true }),
  ]);
  return { one, chunk, waves, logs: options.logs ?? forward.logs };
}

async function record(forward: Forward): Promise<Programs> {
  const [bodies, head, sampling] = await Promise.all([recordBodies(forward), forward.lastLogits(), forward.sampling()]);
  return { bodies, head, sampling };
}

export interface LogitsResult {
  readonly logits: Float32Array; // [T, V]
  /** One entry a MoE layer: ids and weights [T, K], in rank order. */
  readonly routing: readonly LayerRouting[];
  /** [L+1, T, D]: embedding output, the residual stream after each layer but the last, the final norm's output. */
  readonly hidden: Float32Array | null;
}
