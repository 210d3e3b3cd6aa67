/**
 * One conversation on the GPU: which tokens the KV cache holds, prefill in chunks, one token at a time after that.
 * One submit and one small readback a token; nothing is created after `open`.
 */
import { subview } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { StepShape } from '../gpu/recording.ts';
import type { ApproximateParams, DrawOptions, SamplingParams } from '../gpu/step.ts';
import { promptCounts, raisedCount, readSampled, SAMPLED_WORDS, type SampledToken } from '../kernels/sample/sample.ts';
import { MOST_SAMPLED_BYTES, readTopLogprobs, sampledWords, type RankedToken } from '../kernels/sample/top_logprobs.ts';
import { routedBytes } from '../kernels/moe/route.ts';
import type { ExpertStore } from '../moe/store.ts';
import { invariant } from '../util/assert.ts';
import { notFinite } from './finite.ts';
import type { Forward } from './forward.ts';
import type { Batch } from './forward/batch.ts';
import type { RoutingLogs } from './forward/routing-log.ts';
import type { ModePicker } from './mode.ts';
import { NO_INTERVENTIONS, type ResolvedInterventions } from './interventions.ts';
import {
  recordAdapted,
  recordBodies,
  recordFew,
  recordPrograms,
  type FewPrograms,
  type FirstPrograms,
  type Programs,
} from './programs.ts';
import { chunkRoutingAt, type LayerRouting } from './routing.ts';
import type { Scorer, ScoringPass } from './scoring.ts';
import { StepLog, type LoggedStep } from './step-log.ts';
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

/** What a request wants to know of its routing. */
export interface RoutingRequest {
  /** With every token. Default true. */
  readonly routing?: boolean;
  /** The routers' logits as well. */
  readonly logits?: boolean;
  /** Called with the routing of each chunk of the prompt, [T, K] a layer, from `position` on: one readback more a chunk. */
  readonly onPrompt?: ((routing: readonly LayerRouting[], position: number, tokens: number) => void) | undefined;
}

/** A step of one token that is on the GPU. */
interface StepAhead {
  readonly result: Promise<TailResult>;
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

export class Session implements Scorer {
  readonly #parts: SessionParts;
  readonly #gpu: Gpu;
  readonly #forward: Forward;
  #base: Programs;
  /** Under the request's adapter. */
  #programs: Programs;
  /** Null: none. What the cache holds was computed under it. */
  #adapter: string | null = null;
  readonly #adapted = new Map<string, Promise<Programs>>();
  readonly #stepper: Stepper;
  #cached: number[] = [];
  /** How they came there. */
  #log = new StepLog();
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
  /** Steps of one that the GPU was given before the token of the one before them was read, the next first. */
  readonly #ahead: StepAhead[] = [];
  /** Of steps that guess: recorded for the first request that wants them. */
  #few: Promise<FewPrograms> | null = null;
  /** Of the step that ran last: where its routing is. */
  #lastBatch: Batch = 'one';
  /** What the GPU's copies were written from. */
  #biasOnGpu: DrawParams['bias'] = null;
  #allowedOnGpu: DrawParams['allowed'] = null;

  private constructor(parts: SessionParts, { programs, few }: FirstPrograms) {
    const { gpu, forward, store, modes } = parts;
    this.#parts = parts;
    this.#gpu = gpu;
    this.#forward = forward;
    this.#base = this.#programs = programs;
    this.#few = few && Promise.resolve(few);
    this.#counts = new Uint32Array(forward.config.vocab);
    this.#stepper = new Stepper({ gpu, forward, store, modes, tailBytes: MOST_SAMPLED_BYTES });
  }

  /** @throws OutOfBudget when the GPU has no room for what it reads back */
  static open(parts: SessionParts, first: FirstPrograms): Promise<Session> {
    return parts.gpu.allocating('reading tokens back', () => new Session(parts, first));
  }

  /** Records every program again: after arenas were replaced. */
  async rerecord(): Promise<void> {
    this.#logitBodies = null;
    this.#few = null;
    this.#dropAhead();
    this.#adapted.clear();
    this.#base = await recordPrograms(this.#forward);
    this.#programs = await this.#programsUnder(this.#adapter);
  }

  async #programsUnder(adapter: string | null): Promise<Programs> {
    if (adapter === null) return this.#base;
    let recorded = this.#adapted.get(adapter);
    if (!recorded) this.#adapted.set(adapter, (recorded = recordAdapted(this.#forward, this.#base, adapter)));
    return recorded.catch((error: unknown) => {
      this.#adapted.delete(adapter);
      throw error;
    });
  }

  /**
   * Runs the next steps under an adapter, or with null under none. Keys and values that were computed under another are forgotten: call it before
   * `reusable`.
   */
  async adapt(adapter: string | null): Promise<void> {
    if (adapter === this.#adapter) return;
    this.#programs = await this.#programsUnder(adapter);
    this.#adapter = adapter;
    this.#logitBodies = null;
    this.#few = null;
    this.forget();
  }

  /** Tokens whose keys and values are in the cache. */
  get cached(): readonly number[] {
    return this.#cached;
  }

  /**
   * How many leading tokens of `ids` need not be computed again; the last one always is, for its logits. A recurrent state knows the end of what
   * made it and no earlier place: it goes on from there, or starts anew.
   */
  reusable(ids: readonly number[]): number {
    const most = Math.min(this.#cached.length, ids.length - 1);
    let n = 0;
    while (n < most && this.#cached[n] === ids[n]) n++;
    return n < this.#cached.length && this.#forward.isRecurrent ? 0 : n;
  }

  forget(): void {
    this.cut(0);
  }

  /** Only the first `length` tokens count from now on, and no step that ran ahead: what an answer leaves. */
  cut(length: number): void {
    this.#dropAhead();
    if (length < this.#cached.length) this.#keep(length);
  }

  /** Nobody will ask for their tokens. What else they left on the GPU lies beyond the cache. */
  #dropAhead(): void {
    if (this.#ahead.length === 0) return;
    this.#ahead.length = 0;
    this.#nextOnGpu = null;
    this.#writeRequest();
  }

  /** Only the first `length` tokens of the cache count from now on. */
  #keep(length: number): void {
    this.#cached.length = length;
    this.#log.keep(length);
  }

  /**
   * Changes the choice of experts from the next step on. Keys and values that were computed under other interventions are forgotten: call it before
   * `reusable`.
   */
  intervene(interventions: ResolvedInterventions): void {
    if (interventions.key === this.#interventions.key) return;
    this.forget();
    this.#change(interventions);
  }

  /** From the next step on; keys and values stay. */
  #change(interventions: ResolvedInterventions): void {
    this.#interventions = interventions;
    const { interventions: view } = this.#forward;
    this.#gpu.write(view, interventions.words ?? new Uint32Array(view.size / 4));
  }

  /**
   * Prepares the token counts that penalties read, and the programs that log what is wanted. Once a request.
   * @throws OutOfBudget when the GPU has no room for the logits of all routers
   */
  async startRequest(prompt: readonly number[], wants: RoutingRequest = {}): Promise<void> {
    this.#dropAhead();
    this.#wants = wants;
    if (wants.logits) await this.#bodies();
    this.#counts = promptCounts(prompt, this.#forward.config.vocab);
    this.#writeRequest();
  }

  /** Everything that the GPU holds for a request, apart from the cache. */
  #writeRequest(): void {
    this.#gpu.write(this.#forward.draws.tokenCounts, this.#counts);
  }

  #bodies(): Promise<Bodies> | Bodies {
    if (!this.#wants.logits) return this.#programs.bodies;
    return (this.#logitBodies ??= this.#recordLogitBodies().catch((error: unknown) => {
      this.#logitBodies = null;
      throw error;
    }));
  }

  async #recordLogitBodies(): Promise<Bodies> {
    return recordBodies(this.#forward, { logs: await this.#forward.logitLogs(), adapter: this.#adapter });
  }

  /**
   * Goes on with a conversation whose device was lost: every step that made its cache runs again, in its own shape and with its own tokens, so
   * that the same bits come out; nothing is drawn.
   */
  async resume(from: Session, signal?: AbortSignal): Promise<void> {
    await this.adapt(from.#adapter);
    this.intervene(from.#interventions);
    this.#wants = from.#wants;
    if (this.#wants.logits) await this.#bodies();
    for (const { tokens, position, approximate } of from.#log.steps) {
      signal?.throwIfAborted();
      this.#keep(position);
      this.#gpu.write(this.#forward.ids, Uint32Array.from(tokens));
      this.#forward.setStep(tokens.length, position, undefined, approximate);
      const { batch } = await this.#rerun(tokens, signal);
      this.#append({ tokens, position, approximate }, batch);
    }
    this.#keep(from.#cached.length);
    this.#counts = from.#counts.slice();
    this.#writeRequest();
  }

  /** A step that was counted when it ran first. */
  async #rerun(tokens: readonly number[], signal: AbortSignal | undefined): Promise<StepRecord> {
    const { bodies } = this.#programs;
    const shape = { tokens: tokens.length, position: this.#cached.length };
    const record = new StepRecord(this.#parts.store.experts.length, { phase: 'prefill', ...shape }, false);
    await this.#stepper.run({ shape, bodies, tail: tailFor(tokens, null), signal, record, readsRouting: true });
    this.#gpu.assertAlive();
    return record;
  }

  #append(step: LoggedStep, batch: Batch): void {
    this.#cached.push(...step.tokens);
    const { tokens, position, approximate } = step;
    // The tokens of a few have the bits of as many steps of one: so they come again wherever the experts are then.
    if (batch === 'few')
      tokens.forEach((id, i) => this.#log.add({ tokens: [id], position: position + i, approximate }));
    else this.#log.add(step);
    this.#forward.acceptStep();
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
    this.#dropAhead();
    const { prefillChunk } = this.#forward.plan;
    this.#keep(this.reusable(prompt));
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
      onChunk?.(this.#cached.length);
    }
  }

  /**
   * Feeds the token drawn last and draws the next.
   * @param ahead how many steps more may be on the GPU meanwhile, where nothing has to look at their tokens first
   */
  async step(last: number, sampling: DrawParams, signal?: AbortSignal, ahead = 0): Promise<DrawnToken> {
    if (this.#nextOnGpu !== last) {
      this.#dropAhead();
      this.#gpu.write(this.#forward.ids, Uint32Array.of(last));
    }
    if (this.#ahead.length === 0 && (ahead === 0 || !this.#mayRunAhead(sampling)))
      return this.#draw([last], 'decode', sampling, signal);
    return this.#drawAhead(last, sampling, this.#mayRunAhead(sampling) ? ahead : 0);
  }

  /** Steps that are on the GPU already. */
  get inFlight(): number {
    return this.#ahead.length;
  }

  /** The next step's token and its draw are all on the GPU. */
  #mayRunAhead({ bias = null, allowed = null, topLogprobs = 0 }: DrawParams): boolean {
    const isPlain = bias === null && allowed === null && topLogprobs === 0 && !this.#wants.logits;
    return isPlain && !this.#forward.isRecurrent && this.#parts.store.isComplete;
  }

  async #drawAhead(last: number, sampling: DrawParams, ahead: number): Promise<DrawnToken> {
    const record = this.#record('decode', { tokens: 1, position: this.#cached.length });
    const { result } = this.#ahead.shift() ?? this.#submitAhead(sampling);
    while (this.#ahead.length < ahead && this.#stepper.hasRoom) this.#ahead.push(this.#submitAhead(sampling, 1));
    this.#nextOnGpu = null;
    const { bytes, routing } = await result.catch((error: unknown) => {
      this.#dropAhead();
      throw error;
    });
    this.#gpu.assertAlive();
    this.#append({ tokens: [last], position: record.position, approximate: this.#parts.approximate }, 'one');
    this.#stepper.account(record, routing);
    this.#finishStep(record);
    return this.#drawn(readSampled(new Uint32Array(bytes, 0, SAMPLED_WORDS)), routing);
  }

  /** @param behind steps that come before it, without those that wait to be read */
  #submitAhead(sampling: DrawParams, behind = 0): StepAhead {
    const position = this.#cached.length + this.#ahead.length + behind;
    this.#forward.setStep(1, position, sampling, this.#parts.approximate);
    const shape = { tokens: 1, position };
    const readsRouting = (this.#wants.routing ?? true) || this.#parts.isWatched();
    const tail = this.#drawing({ isBiased: false, isMasked: false }, 0);
    const result = this.#stepper.submit({ shape, bodies: this.#programs.bodies, tail, readsRouting });
    result.catch(() => undefined); // whoever asks for its token sees the error
    return { result };
  }

  /** Records what `guess` runs, once. @returns whether this model can guess at all */
  async prepareGuesses(): Promise<boolean> {
    if (!this.#forward.mayGuess) return false;
    this.#few ??= recordFew(this.#forward, this.#programs.bodies.few, this.#adapter).catch((error: unknown) => {
      this.#few = null;
      throw error;
    });
    await this.#few;
    return true;
  }

  /** The most tokens that one step may guess. */
  get mostGuesses(): number {
    return this.#forward.most('few') - 1;
  }

  /** Whether a draw may come from a step that guesses, once none is in flight. */
  mayGuess(sampling: DrawParams): boolean {
    return this.#few !== null && this.#mayRunAhead(sampling) && !this.#forward.isApproximate;
  }

  /**
   * Feeds the token drawn last and `guesses` of those after it in one step, and draws after each: the tokens that steps one by one would have drawn, up
   * to the first that was guessed wrong. Keys and values of wrong guesses are cut off again.
   */
  async guess(last: number, guesses: readonly number[], sampling: DrawParams): Promise<DrawnToken[]> {
    const tokens = [last, ...guesses];
    const shape = { tokens: tokens.length, position: this.#cached.length };
    const programs = await this.#few;
    invariant(programs && this.#ahead.length === 0, 'a guess that was not prepared, or steps ahead of it');
    this.#nextOnGpu = null;
    const startedAt = performance.now();
    this.#gpu.write(this.#forward.ids, Uint32Array.from(tokens));
    this.#forward.setStep(shape.tokens, shape.position, sampling, this.#parts.approximate);
    const readsRouting = (this.#wants.routing ?? true) || this.#parts.isWatched();
    const { draws, routing } = await this.#stepper.few(programs, shape, readsRouting);
    this.#gpu.assertAlive();
    const wrong = guesses.findIndex((id, i) => draws[i]!.id !== id);
    const kept = wrong < 0 ? tokens.length : wrong + 1;
    this.#append(
      { tokens: tokens.slice(0, kept), position: shape.position, approximate: this.#parts.approximate },
      'few',
    );
    const ms = (performance.now() - startedAt) / kept;
    return draws.slice(0, kept).map((draw, i) => {
      const record = this.#record('decode', { tokens: 1, position: shape.position + i });
      this.#stepper.account(record, routing[i]!);
      this.#finishStep(record, ms);
      const drawn = this.#drawn(draw, routing[i]!);
      this.#nextOnGpu = null; // the kernel that draws several leaves ids and counts alone
      this.#writeCount(draw.id);
      return drawn;
    });
  }

  #record(phase: StepRecord['phase'], shape: StepShape): StepRecord {
    const record = new StepRecord(this.#parts.store.experts.length, { phase, ...shape }, this.#parts.isWatched());
    record.interventions = this.#interventions.labels;
    return record;
  }

  #finishStep(record: StepRecord, ms?: number): void {
    record.finish(ms);
    if (record.mode !== 'resident' && record.tokens === 1) this.#parts.modes.learn(record);
    this.#parts.store.endStep(record.ms);
    this.#parts.onStep(record);
  }

  /** A draw that counts. */
  #drawn({ id, logprob, brokenLogits }: SampledToken, routing: readonly LayerRouting[]): DrawnToken {
    if (brokenLogits > 0) throw notFinite(brokenLogits, 'logits');
    this.#counts[id] = raisedCount(this.#counts[id]!);
    this.#nextOnGpu = id;
    return { id, logprob, topLogprobs: [], routing };
  }

  async #draw(
    tokens: readonly number[],
    phase: StepRecord['phase'],
    sampling: DrawParams,
    signal: AbortSignal | undefined,
  ): Promise<DrawnToken> {
    this.#nextOnGpu = null; // whatever happens until the token is drawn for good
    const top = sampling.topLogprobs ?? 0;
    const limits = this.#writeLimits(sampling);
    const draw = { ...sampling, ...limits };
    this.#forward.setStep(tokens.length, this.#cached.length, draw, this.#parts.approximate);
    const tail = this.#drawing(limits, top);
    const result = await this.#run(tokens, phase, tail, signal);
    const drawn = this.#drawn(readSampled(new Uint32Array(result!.bytes, 0, SAMPLED_WORDS)), result!.routing);
    const words = new Uint32Array(result!.bytes, 0, sampledWords(top));
    const topLogprobs = readTopLogprobs(words, top, this.#forward.config.vocab);
    return { ...drawn, topLogprobs };
  }

  /** Brings a draw's bias and mask to the GPU, unless they are there. Without them nothing is written. */
  #writeLimits({ bias = null, allowed = null }: DrawParams): DrawOptions {
    if (bias && bias !== this.#biasOnGpu) this.#gpu.write(this.#forward.draws.bias, (this.#biasOnGpu = bias));
    if (allowed && allowed !== this.#allowedOnGpu)
      this.#gpu.write(this.#forward.draws.allowed, (this.#allowedOnGpu = allowed));
    return { isBiased: bias !== null, isMasked: allowed !== null };
  }

  #drawing({ isBiased, isMasked }: DrawOptions, top: number): Tail {
    const { head, sampling, limitedSampling, topLogprobs } = this.#programs;
    const draw = isBiased || isMasked ? limitedSampling : sampling;
    return {
      programs: top > 0 ? [head, draw, topLogprobs] : [head, draw],
      view: subview(this.#forward.draws.sampled, 0, 4 * sampledWords(top)),
      undo: (bytes) => this.#writeCount(readSampled(new Uint32Array(bytes, 0, SAMPLED_WORDS)).id),
    };
  }

  /** A token's count on the GPU becomes what it is here: a draw from a pass that missed experts raised it, or one of several did not. */
  #writeCount(id: number): void {
    this.#gpu.write(this.#forward.draws.tokenCounts, this.#counts.subarray(id, id + 1), 4 * id);
  }

  /** Runs one step at the end of the cache, which holds its tokens then. */
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
    const record = this.#record(phase, shape);
    const result = await this.#stepper.run({
      shape,
      bodies,
      tail: tailFor(tokens, tail),
      signal,
      record,
      readsRouting,
    });
    const { onPrompt } = this.#wants;
    const isAsked = phase === 'prefill' && !scoring && onPrompt !== undefined;
    this.#lastBatch = record.batch;
    const routing = isAsked ? await this.#routingOf(bodies.logs, shape.tokens) : [];
    this.#gpu.assertAlive(); // from the news of a loss on, nothing changes here: `resume` reads it
    if (isAsked) onPrompt(routing, shape.position, shape.tokens);
    this.#append({ tokens, position: shape.position, approximate: this.#parts.approximate }, record.batch);
    this.#finishStep(record);
    return result;
  }

  get gpu(): Gpu {
    return this.#gpu;
  }

  get forward(): Forward {
    return this.#forward;
  }

  /** Runs a text from an empty cache: see engine/scoring. */
  async score(pass: ScoringPass): Promise<void> {
    const { ids, most, interventions = NO_INTERVENTIONS, interveneFrom = 0, signal } = pass;
    await this.adapt(pass.adapter ?? null);
    const { bodies = this.#programs.bodies } = pass;
    const tail: Tail = { programs: [pass.tail], view: null, undo: () => undefined };
    this.intervene(interveneFrom > 0 ? NO_INTERVENTIONS : interventions);
    this.forget();
    this.#nextOnGpu = null;
    let position = 0;
    while (position < ids.length) {
      signal?.throwIfAborted();
      if (position === interveneFrom) this.#change(interventions);
      const end = Math.min(position + most, position < interveneFrom ? interveneFrom : ids.length);
      const chunk = ids.slice(position, end);
      const tokens = chunk.length;
      this.#gpu.write(this.#forward.ids, Uint32Array.from(chunk));
      this.#forward.setStep(tokens, position, undefined, this.#parts.approximate);
      await this.#run(chunk, 'prefill', tail, signal, bodies);
      await pass.onChunk({ position, tokens, routing: () => this.#routingOf(bodies.logs, tokens) });
      position = end;
    }
    // Keys and values of the first tokens were computed without, those of the others with.
    if (interveneFrom > 0) this.forget();
  }

  /** What the step of `tokens` that ran last left in its log, [T, K] a layer. */
  async #routingOf(logs: RoutingLogs, tokens: number): Promise<LayerRouting[]> {
    const { view, slices } = logs[this.#lastBatch];
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
    this.#ahead.length = 0;
    this.#stepper.dispose();
  }
}

const NO_TAIL: Tail = { programs: [], view: null, undo: () => undefined };

/** Of a single token, what it missed is read off its routing, which comes back with a tail only. */
const tailFor = (tokens: readonly number[], tail: Tail | null): Tail | null =>
  tail ?? (tokens.length === 1 ? NO_TAIL : null);
