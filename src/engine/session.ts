/**
 * One conversation on the GPU: which tokens the KV cache holds, prefill in chunks, one token at a time after that.
 * One submit and one small readback a token; nothing is created after `open`.
 */
import { isEncoderAlone } from '../config/encoder-alone.ts';
import { subview } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { ApproximateParams, DrawOptions } from '../gpu/step.ts';
import { readSampled, SAMPLED_WORDS, type SampledToken } from '../kernels/sample/sample.ts';
import { MOST_SAMPLED_BYTES, readTopLogprobs, sampledWords } from '../kernels/sample/top_logprobs.ts';
import type { ExpertStore } from '../moe/store.ts';
import { invariant } from '../util/assert.ts';
import { notFinite } from './finite.ts';
import type { Forward } from './forward.ts';
import type { Batch } from './forward/batch.ts';
import type { ModePicker } from './mode.ts';
import { NO_INTERVENTIONS, type ResolvedInterventions } from './interventions.ts';
import type { FirstPrograms } from './programs.ts';
import type { LayerRouting } from './routing.ts';
import type { Scorer, ScoringPass } from './scoring.ts';
import { CachedTokens } from './session/cached-tokens.ts';
import type { DrawnToken, DrawParams, RoutingRequest } from './session/draw.ts';
import { DrawInputs } from './session/draw-inputs.ts';
import { readRouting } from './session/read-routing.ts';
import { RecordedPrograms } from './session/recorded.ts';
import type { LoggedStep } from './step-log.ts';
import { StepRecord } from './step-record.ts';
import type { EncoderConfig } from '../config/model-config.ts';
import { Stepper, type Bodies, type Tail, type TailResult } from './stepper.ts';

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
  readonly #recorded: RecordedPrograms;
  readonly #stepper: Stepper;
  readonly #cache = new CachedTokens();
  readonly #inputs: DrawInputs;
  /** What the request wants to know. */
  #wants: RoutingRequest = {};
  /** Those that the keys and values in the cache were computed under. */
  #interventions = NO_INTERVENTIONS;
  /** The first id of the next step that is on the GPU already. */
  #nextOnGpu: number | null = null;
  /** Steps of one that the GPU was given before the token of the one before them was read, the next first. */
  readonly #ahead: StepAhead[] = [];
  /** Tokens at the front of the cache that the encoder read: those of the decoder are counted from behind them. */
  #encoded = 0;
  /** Of the step that ran last: where its routing is. */
  #lastBatch: Batch = 'one';

  private constructor(parts: SessionParts, first: FirstPrograms) {
    const { gpu, forward, store, modes } = parts;
    this.#parts = parts;
    this.#gpu = gpu;
    this.#forward = forward;
    this.#recorded = new RecordedPrograms(forward, first);
    this.#inputs = new DrawInputs(gpu, forward);
    this.#stepper = new Stepper({ gpu, forward, store, modes, tailBytes: MOST_SAMPLED_BYTES });
  }

  /** @throws OutOfBudget when the GPU has no room for what it reads back */
  static open(parts: SessionParts, first: FirstPrograms): Promise<Session> {
    return parts.gpu.allocating('reading tokens back', () => new Session(parts, first));
  }

  /** Records every program again: after arenas were replaced. */
  async rerecord(): Promise<void> {
    this.#dropAhead();
    await this.#recorded.again();
  }

  /**
   * Runs the next steps under an adapter, or with null under none. Keys and values that were computed under another are forgotten: call it before
   * `reusable`.
   */
  async adapt(adapter: string | null): Promise<void> {
    if (adapter === this.#recorded.adapter) return;
    await this.#recorded.adapt(adapter);
    this.forget();
  }

  /** Tokens whose keys and values are in the cache. */
  get cached(): readonly number[] {
    return this.#cache.ids;
  }

  /**
   * How many leading tokens of `ids` need not be computed again; the last one always is, for its logits. A recurrent state knows the end of what
   * made it and no earlier place: it goes on from there, or starts anew. A text that an encoder reads is always read anew, for a decoder that starts.
   */
  reusable(ids: readonly number[]): number {
    if (this.#encoder) return 0;
    return this.#cache.shared(ids, this.#forward.isRecurrent);
  }

  get #encoder(): EncoderConfig | undefined {
    return this.#forward.config.encoder;
  }

  /** Where the next token goes, in its stack. */
  get #position(): number {
    return this.#cache.length - this.#encoded;
  }

  /** Where it is in the conversation, of which a decoder's start token is no part: it stands where the text ends. */
  get #told(): number {
    return this.#cache.length - (this.#encoded > 0 ? 1 : 0);
  }

  forget(): void {
    this.cut(0);
  }

  /** Only the first `length` tokens count from now on, and no step that ran ahead: what an answer leaves. */
  cut(length: number): void {
    this.#dropAhead();
    if (length < this.#cache.length) this.#cache.keep(length);
    this.#encoded = Math.min(this.#encoded, this.#cache.length);
  }

  /** Nobody will ask for their tokens. What else they left on the GPU lies beyond the cache. */
  #dropAhead(): void {
    if (this.#ahead.length === 0) return;
    this.#ahead.length = 0;
    this.#nextOnGpu = null;
    this.#inputs.writeCounts();
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
    this.#inputs.start(this.#encoder ? [] : prompt); // penalties are for what the decoder wrote
  }

  #bodies(): Promise<Bodies> | Bodies {
    return this.#recorded.bodies(this.#wants.logits ?? false);
  }

  /**
   * Goes on with a conversation whose device was lost: every step that made its cache runs again, in its own shape and with its own tokens, so
   * that the same bits come out; nothing is drawn.
   */
  async resume(from: Session, signal?: AbortSignal): Promise<void> {
    await this.adapt(from.#recorded.adapter);
    this.intervene(from.#interventions);
    this.#wants = from.#wants;
    if (this.#wants.logits) await this.#bodies();
    for (const step of from.#cache.steps) {
      const { tokens, position, approximate, encodes = false } = step;
      signal?.throwIfAborted();
      this.#cache.keep(position);
      if (encodes) this.#startText(tokens);
      this.#gpu.write(this.#forward.ids, Uint32Array.from(tokens));
      this.#forward.setStep(tokens.length, this.#position, undefined, approximate);
      const { batch } = await this.#rerun(step, signal);
      this.#append(step, batch);
      if (encodes) this.#encoded = tokens.length;
    }
    this.#cache.keep(from.#cache.length);
    this.#inputs.takeOver(from.#inputs);
  }

  /** A step that was counted when it ran first. */
  async #rerun({ tokens, encodes = false }: LoggedStep, signal: AbortSignal | undefined): Promise<StepRecord> {
    const { bodies } = this.#recorded.current;
    const shape = { tokens: tokens.length, position: this.#position };
    const record = new StepRecord(this.#parts.store.experts.length, { phase: 'prefill', ...shape }, false);
    const tail = encodes ? null : tailFor(tokens, null);
    await this.#stepper.run({ shape, bodies, tail, signal, record, readsRouting: true, encodes });
    this.#gpu.assertAlive();
    return record;
  }

  #append(step: LoggedStep, batch: Batch): void {
    this.#cache.append(step, batch);
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
    invariant(!isEncoderAlone(this.#forward.config), 'a draw of a model without a decoder');
    if (this.#encoder) return this.#begin(this.#encoder, prompt, sampling, { signal, onChunk });
    const { prefillChunk } = this.#forward.plan;
    this.#cache.keep(this.reusable(prompt));
    for (;;) {
      signal?.throwIfAborted();
      const position = this.#cache.length;
      const chunk = prompt.slice(position, position + prefillChunk);
      const isLast = position + chunk.length === prompt.length;
      this.#nextOnGpu = null;
      this.#gpu.write(this.#forward.ids, Uint32Array.from(chunk));
      if (isLast) return this.#draw(chunk, 'prefill', sampling, signal);
      this.#forward.setStep(chunk.length, position, sampling, this.#parts.approximate);
      await this.#run(chunk, 'prefill', null, signal);
      onChunk?.(this.#cache.length);
    }
  }

  /** The encoder reads the prompt, and the decoder draws its first token. */
  async #begin(
    { startToken = 0 }: EncoderConfig,
    prompt: readonly number[],
    sampling: DrawParams,
    { signal, onChunk }: { signal: AbortSignal | undefined; onChunk: ((done: number) => void) | undefined },
  ): Promise<DrawnToken> {
    await this.#encode(prompt, signal);
    onChunk?.(prompt.length);
    this.#gpu.write(this.#forward.ids, Uint32Array.of(startToken));
    return this.#draw([startToken], 'decode', sampling, signal);
  }

  /** What the decoder sees from now on: the text alone, until it goes on. */
  async #encode(text: readonly number[], signal: AbortSignal | undefined, scoring?: Bodies): Promise<void> {
    signal?.throwIfAborted();
    this.#nextOnGpu = null;
    this.#startText(text);
    this.#gpu.write(this.#forward.ids, Uint32Array.from(text));
    this.#forward.setStep(text.length, 0, undefined, this.#parts.approximate);
    await this.#run(text, 'prefill', null, signal, scoring, true);
    this.#encoded = text.length;
  }

  #startText(text: readonly number[]): void {
    this.#cache.keep(0);
    this.#encoded = 0;
    this.#forward.setEncoded(text.length);
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
    const record = this.#record('decode', 1);
    const { result } = this.#ahead.shift() ?? this.#submitAhead(sampling);
    while (this.#ahead.length < ahead && this.#stepper.hasRoom) this.#ahead.push(this.#submitAhead(sampling, 1));
    this.#nextOnGpu = null;
    const { bytes, routing } = await result.catch((error: unknown) => {
      this.#dropAhead();
      throw error;
    });
    this.#gpu.assertAlive();
    this.#append({ tokens: [last], position: this.#cache.length, approximate: this.#parts.approximate }, 'one');
    this.#stepper.account(record, routing);
    this.#finishStep(record);
    return this.#drawn(readSampled(new Uint32Array(bytes, 0, SAMPLED_WORDS)), routing);
  }

  /** @param behind steps that come before it, without those that wait to be read */
  #submitAhead(sampling: DrawParams, behind = 0): StepAhead {
    const position = this.#position + this.#ahead.length + behind;
    this.#forward.setStep(1, position, sampling, this.#parts.approximate);
    const shape = { tokens: 1, position };
    const readsRouting = (this.#wants.routing ?? true) || this.#parts.isWatched();
    const tail = this.#drawing({ isBiased: false, isMasked: false }, 0);
    const result = this.#stepper.submit({ shape, bodies: this.#recorded.current.bodies, tail, readsRouting });
    result.catch(() => undefined); // whoever asks for its token sees the error
    return { result };
  }

  /** Records what `guess` runs, once. @returns whether this model can guess at all */
  async prepareGuesses(): Promise<boolean> {
    if (!this.#forward.mayGuess) return false;
    await this.#recorded.prepareFew();
    return true;
  }

  /** The most tokens that one step may guess. */
  get mostGuesses(): number {
    return this.#forward.most('few') - 1;
  }

  /** Whether a draw may come from a step that guesses, once none is in flight. */
  mayGuess(sampling: DrawParams): boolean {
    return this.#recorded.few !== null && this.#mayRunAhead(sampling) && !this.#forward.isApproximate;
  }

  /**
   * Feeds the token drawn last and `guesses` of those after it in one step, and draws after each: the tokens that steps one by one would have drawn, up
   * to the first that was guessed wrong. Keys and values of wrong guesses are cut off again.
   */
  async guess(last: number, guesses: readonly number[], sampling: DrawParams): Promise<DrawnToken[]> {
    const tokens = [last, ...guesses];
    const shape = { tokens: tokens.length, position: this.#cache.length };
    const programs = await this.#recorded.few;
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
      const record = this.#record('decode', 1, shape.position + i);
      this.#stepper.account(record, routing[i]!);
      this.#finishStep(record, ms);
      const drawn = this.#drawn(draw, routing[i]!);
      this.#nextOnGpu = null; // the kernel that draws several leaves ids and counts alone
      this.#inputs.writeCount(draw.id);
      return drawn;
    });
  }

  #record(phase: StepRecord['phase'], tokens: number, position = this.#told): StepRecord {
    const step = { phase, tokens, position };
    const record = new StepRecord(this.#parts.store.experts.length, step, this.#parts.isWatched());
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
    this.#inputs.raise(id);
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
    const limits = this.#inputs.writeLimits(sampling);
    const draw = { ...sampling, ...limits };
    this.#forward.setStep(tokens.length, this.#position, draw, this.#parts.approximate);
    const tail = this.#drawing(limits, top);
    const result = await this.#run(tokens, phase, tail, signal);
    const drawn = this.#drawn(readSampled(new Uint32Array(result!.bytes, 0, SAMPLED_WORDS)), result!.routing);
    const words = new Uint32Array(result!.bytes, 0, sampledWords(top));
    const topLogprobs = readTopLogprobs(words, top, this.#forward.config.vocab);
    return { ...drawn, topLogprobs };
  }

  #drawing({ isBiased, isMasked }: DrawOptions, top: number): Tail {
    const { head, sampling, limitedSampling, topLogprobs } = this.#recorded.current;
    const draw = isBiased || isMasked ? limitedSampling : sampling;
    return {
      programs: top > 0 ? [head, draw, topLogprobs] : [head, draw],
      view: subview(this.#forward.draws.sampled, 0, 4 * sampledWords(top)),
      undo: (bytes) => this.#inputs.writeCount(readSampled(new Uint32Array(bytes, 0, SAMPLED_WORDS)).id),
    };
  }

  /** Runs one step at the end of the cache, which holds its tokens then. */
  async #run(
    tokens: readonly number[],
    phase: StepRecord['phase'],
    tail: Tail | null,
    signal: AbortSignal | undefined,
    scoring?: Bodies,
    encodes = false,
  ): Promise<TailResult | null> {
    const bodies = scoring ?? (await this.#bodies());
    const readsRouting = scoring !== undefined || (this.#wants.routing ?? true);
    const shape = { tokens: tokens.length, position: this.#position };
    const record = this.#record(phase, shape.tokens);
    const result = await this.#stepper.run({
      shape,
      bodies,
      tail: encodes ? tail : tailFor(tokens, tail),
      signal,
      record,
      readsRouting,
      encodes,
    });
    const { onPrompt } = this.#wants;
    const isAsked = phase === 'prefill' && !scoring && onPrompt !== undefined;
    this.#lastBatch = record.batch;
    const routing = isAsked ? await readRouting(this.#gpu, bodies.logs[record.batch], shape.tokens) : [];
    this.#gpu.assertAlive(); // from the news of a loss on, nothing changes here: `resume` reads it
    if (isAsked) onPrompt(routing, shape.position, shape.tokens);
    const { approximate } = this.#parts;
    this.#append({ tokens, position: this.#cache.length, approximate, ...(encodes && { encodes }) }, record.batch);
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
    const { ids, encoded, most, interventions = NO_INTERVENTIONS, interveneFrom = 0, signal } = pass;
    await this.adapt(pass.adapter ?? null);
    const { bodies = this.#recorded.current.bodies } = pass;
    const tail: Tail = { programs: [pass.tail], view: null, undo: () => undefined };
    this.intervene(interveneFrom > 0 ? NO_INTERVENTIONS : interventions);
    this.forget();
    this.#nextOnGpu = null;
    if (encoded) await this.#encode(encoded, signal, bodies);
    const isText = isEncoderAlone(this.#forward.config);
    let position = 0;
    while (position < ids.length) {
      signal?.throwIfAborted();
      if (position === interveneFrom) this.#change(interventions);
      const end = Math.min(position + most, position < interveneFrom ? interveneFrom : ids.length);
      const chunk = ids.slice(position, end);
      const tokens = chunk.length;
      this.#gpu.write(this.#forward.ids, Uint32Array.from(chunk));
      this.#forward.setStep(tokens, position, undefined, this.#parts.approximate);
      await this.#run(chunk, 'prefill', tail, signal, bodies, isText);
      await pass.onChunk({
        position,
        tokens,
        routing: () => readRouting(this.#gpu, bodies.logs[this.#lastBatch], tokens),
      });
      position = end;
    }
    // Keys and values of the first tokens were computed without, those of the others with.
    if (interveneFrom > 0) this.forget();
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
