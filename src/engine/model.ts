/** A loaded model: generates, scores, frees. */
import { isEncoderAlone } from '../config/encoder-alone.ts';
import type { ModelConfig } from '../config/model-config.ts';
import { InvalidRequest, OutOfBudget, SourceError } from '../errors.ts';
import type { BufferRole } from '../gpu/buffer.ts';
import type { DeviceFacts } from '../gpu/device.ts';
import type { Counters } from '../gpu/gpu.ts';
import { Answer, checkAdapter, checkIds } from './answer.ts';
import { checkPooling, embedTokens, type EmbedOptions } from './embedding.ts';
import type { GeneratedToken, GenerateOptions, GenerateSummary } from './generation.ts';
import { resolveInterventions, type Interventions } from './interventions.ts';
import { samplingDefaults, type SamplingDefault } from './sampling.ts';
import { moeLayers, MOST_AHEAD } from './activations.ts';
import { Decoder } from './decoder.ts';
import { needsDecoder } from './needs-decoder.ts';
import { labelsOf, labelTokens, placesOf, type LabelOptions, type Labels } from './labelling.ts';
import type { RecordLevel } from './expert-monitor.ts';
import type { CacheReport, ExpertStats, StepEvent } from './expert-stats.ts';
import type { Plan } from './plan.ts';
import type { PreparedModel } from './prepare.ts';
import type { Recovery, RecoveryEvent } from './recovery.ts';
import type { Runtime } from './runtime.ts';
import { scoreLogits, type LogitsResult } from './scoring.ts';
import { canShare, Serving } from './serving/serving.ts';
import type { DrawnToken } from './session/draw.ts';
import { SpeculationGovernor } from './speculation/governor.ts';
import { resolveSpeculation } from './speculation/options.ts';
import { promptIds, type ModelText, type Prompt } from './text.ts';
import type { Tuning } from './tuning.ts';

export class Model {
  readonly #prepared: PreparedModel;
  readonly #recovery: Recovery;
  /** Answers several requests at once; null: one after the other. */
  readonly #serving: Serving | null;
  /** Settles when the requests so far are done: a queue. */
  #busy: Promise<void> = Promise.resolve();
  readonly #running = new Set<() => void>();
  /** GPU work in flight; `dispose` waits for it, not for a caller who stopped asking for tokens. */
  #working: Promise<unknown> = Promise.resolve();
  readonly #disposal = new AbortController();
  readonly #governor = new SpeculationGovernor();
  #disposed: Promise<void> | undefined;

  constructor(prepared: PreparedModel, recovery: Recovery) {
    this.#prepared = prepared;
    this.#recovery = recovery;
    const { requests, prefillChunk } = recovery.live.experts.plan;
    this.#serving =
      requests &&
      new Serving({
        plan: requests,
        rows: prefillChunk,
        run: (work) => this.#run(work, this.#disposal.signal),
        acquire: () => this.#acquire(),
        isAwaited: () => this.#running.size > 1,
      });
  }

  get config(): ModelConfig {
    return this.#prepared.opened.config;
  }

  /** Of the device of the moment: read anew wherever something was waited for. */
  get #live(): Runtime {
    return this.#recovery.live;
  }

  /** What was allocated: with fewer slots than planned where the GPU had no room, and as `setGpuBytes` last changed it. */
  get plan(): Plan {
    return this.#live.experts.plan;
  }

  /** null when the checkpoint has no tokenizer.json. */
  get text(): ModelText | null {
    return this.#prepared.text;
  }

  get device(): DeviceFacts {
    return this.#live.gpu.facts;
  }

  /** Which kernels take a few tokens, and the tiles of experts: as measured, as asked for, or as suits most devices. */
  get tuning(): Tuning {
    return this.#live.session.forward.tuning;
  }

  /** What the GPU was asked to do so far. */
  get counters(): Readonly<Counters> {
    return { ...this.#live.gpu.counters };
  }

  get gpuBytes(): Readonly<Record<BufferRole, number>> {
    return this.#live.gpu.ledger.bytesByRole();
  }

  /** Pages of keys and values that requests which run at once use: 0 when none does. */
  get pagesUsed(): number {
    return this.#serving?.usedPages ?? 0;
  }

  /** What is kept on disk (or in memory) for the next start; null when nothing is. */
  get kept(): { readonly presentBytes: number; readonly totalBytes: number; readonly isComplete: boolean } | null {
    return this.#live.experts.kept;
  }

  /** Where the experts are and how well the store does; null for a model without experts. */
  expertStats(): ExpertStats | null {
    const { store, monitor } = this.#live.experts;
    return store.total ? monitor.stats() : null;
  }

  /** Where every expert is now: for each MoE layer [E], the index in `PLACES` of webmoe/trace; no layers for a model without experts. */
  expertPlaces(): Uint8Array<ArrayBuffer>[] {
    return this.#live.experts.places();
  }

  /**
   * Replays the session's last tokens through the cache, by every policy and by the best that one could have done: seconds of work in slices of a few
   * milliseconds, while tokens may go on.
   * @returns null when no token was decoded while experts were missing
   * @throws the signal's reason
   */
  async cacheReport(options: { readonly signal?: AbortSignal } = {}): Promise<CacheReport | null> {
    return this.#live.experts.cacheReport(this.#orDisposed(options.signal));
  }

  /**
   * Calls `listener` with every step from now on.
   * @param level `ids` adds which experts each token used and where each came from
   * @returns stops it
   */
  onStep(listener: (event: StepEvent) => void, level: RecordLevel = 'counts'): () => void {
    return this.#live.experts.monitor.listen(listener, level);
  }

  /**
   * Changes how much GPU memory the model may use, between requests: fewer or more experts have a slot from then on. Answers stay the same.
   * @throws OutOfBudget when it cannot run in so little; nothing changes then
   */
  async setGpuBytes(bytes: number): Promise<void> {
    if (!(bytes > 0)) throw new InvalidRequest(`gpuBytes must be a number above 0, got ${bytes}`, { gpuBytes: bytes });
    const release = await this.#acquire();
    try {
      await this.#run(({ experts }) => experts.resize(bytes), this.#disposal.signal);
      this.#recovery.finished();
    } finally {
      release();
    }
  }

  /** Takes an expert off the GPU; it comes back when it is needed. Nothing happens when it is not there. */
  evict(layer: number, expert: number): void {
    this.#live.experts.store.evict(layer, expert);
  }

  /** Resolves when all experts that can be fetched ahead of time are on the GPU or kept on disk. */
  settled(): Promise<void> {
    return this.#recovery.run(({ experts }) => experts.settled(), this.#disposal.signal);
  }

  /** Names of the adapters of which a request may choose one. */
  get adapters(): readonly string[] {
    return this.#prepared.planned.adapters.map(({ name }) => name);
  }

  /** What a request that asks for nothing gets: what the checkpoint recommends, or what changes nothing. */
  get samplingDefaults(): SamplingDefault {
    return samplingDefaults(this.#prepared.opened.generation);
  }

  /** Tokens that end an answer. */
  get endTokens(): readonly number[] {
    return this.#prepared.endTokens;
  }

  /** Resolves when the GPU is gone for good: a device that was lost is replaced, unless that happens three times in a row. */
  get lost(): Promise<{ readonly reason: string; readonly message: string }> {
    return this.#recovery.lost;
  }

  /**
   * Calls `listener` while a lost device is replaced. Requests wait meanwhile, and go on by themselves.
   * @returns stops it
   */
  onRecovery(listener: (event: RecoveryEvent) => void): () => void {
    return this.#recovery.listen(listener);
  }

  /**
   * Generates token by token. The keys and values of earlier turns are kept: a prompt that starts like the last conversation only pays for
   * what is new. Calls queue up, or run together where the model was loaded with `requests`; leaving the loop early is fine.
   * @throws InvalidRequest for bad options, an empty prompt, or one that leaves no room in the context; DeviceLost when the GPU is gone for good
   */
  async *generate(
    prompt: Prompt,
    options: GenerateOptions = {},
  ): AsyncGenerator<GeneratedToken, GenerateSummary, void> {
    const { text, opened, endTokens } = this.#prepared;
    const { config, generation } = opened;
    const { contextLength } = this.plan;
    const adapters = this.adapters;
    const answer = new Answer(prompt, options, { text, config, generation, endTokens, contextLength, adapters });
    if (this.#serving && canShare(options)) return yield* this.#together(this.#serving, answer, options.signal);
    const decoder = this.#decoder(answer, options);
    const release = await this.#acquire();
    const signal = this.#orDisposed(options.signal);
    const summary = (finishReason: GenerateSummary['finishReason']): GenerateSummary => {
      if (finishReason !== 'abort') this.#recovery.finished();
      return answer.summary(finishReason, this.#live.experts.monitor.approximations);
    };
    answer.start();
    try {
      signal.throwIfAborted();
      answer.begin(await this.#run((runtime) => beginOn(runtime, answer, decoder), signal));
      let drawn: DrawnToken = await this.#run(async ({ experts, session }) => {
        // Nothing is done ahead of time while somebody waits for the first word.
        const endDemand = experts.store.demand.begin();
        return session.prefill(answer.prompt, answer.draw(), signal, answer.onChunk).finally(endDemand);
      }, signal);
      for (;;) {
        const { token, finishReason } = answer.take(drawn);
        yield token;
        if (finishReason) return summary(finishReason);
        signal.throwIfAborted();
        const { id } = drawn;
        drawn = await this.#run(({ session }) => decoder.next(session, id, signal), signal);
        answer.fed(id, drawn.routing);
      }
    } catch (error) {
      if (options.signal?.aborted && error === options.signal.reason) return summary('abort');
      // A token whose experts could not be fetched left nothing behind; after anything else the cache's contents are no longer certain.
      if (!(error instanceof SourceError)) this.#live.session.forget();
      throw error;
    } finally {
      // Tokens that were computed ahead and not taken are as if they had not been; the last one taken was not fed.
      if (answer.generated > 0) this.#live.session.cut(answer.prompt.length + answer.generated - 1);
      release();
    }
  }

  /** An answer among those that run at once. What it draws is exact: approximations are for experts that are missing. */
  async *#together(
    serving: Serving,
    answer: Answer,
    asked: AbortSignal | undefined,
  ): AsyncGenerator<GeneratedToken, GenerateSummary, void> {
    try {
      const finishReason = yield* serving.generate(answer, this.#orDisposed(asked));
      this.#recovery.finished();
      return answer.summary(finishReason, []);
    } catch (error) {
      if (asked?.aborted && error === asked.reason) return answer.summary('abort', []);
      throw error;
    }
  }

  #decoder(answer: Answer, { speculate }: GenerateOptions): Decoder {
    const { options } = this.#prepared;
    const isHardware = !this.device.adapter.isFallback;
    return new Decoder(answer, {
      speculation: resolveSpeculation(speculate ?? options.speculate, isHardware),
      governor: this.#governor,
      ahead: options.runAhead ?? (isHardware ? MOST_AHEAD : 0),
    });
  }

  /**
   * Logits of every token of `ids`, with the routing; no sampling.
   * @throws InvalidRequest for ids outside the vocabulary, a sequence longer than the context, or interventions that make no sense; OutOfBudget when
   *   the GPU has no room for them
   */
  async logits(
    ids: readonly number[],
    options: {
      readonly hidden?: boolean;
      readonly signal?: AbortSignal;
      readonly interventions?: Interventions;
      /** They hold from this position on; the tokens before run as ever. Default 0. */
      readonly interveneFrom?: number;
      /** As in `GenerateOptions`. */
      readonly adapter?: string | null;
      /** Of a model with an encoder, and only there: the text that it reads. `ids` are the decoder's, its start token first; no `hidden`. */
      readonly encoded?: readonly number[];
    } = {},
  ): Promise<LogitsResult> {
    needsDecoder(this.config, 'logits');
    checkIds(ids, this.config.vocab, this.plan.contextLength);
    this.#checkEncoded(options);
    const { interveneFrom: from = 0 } = options;
    if (!Number.isInteger(from) || from < 0 || from >= ids.length)
      throw new InvalidRequest(`interveneFrom must be a position from 0 to ${ids.length - 1}, got ${from}`, {
        option: 'interveneFrom',
      });
    const interventions = resolveInterventions(options.interventions, moeLayers(this.config));
    const adapter = checkAdapter(options.adapter, this.adapters);
    const signal = this.#orDisposed(options.signal);
    const request = { ...options, interventions, adapter, signal };
    return this.#aside(({ session }) => scoreLogits(session, ids, request), signal);
  }

  /**
   * One vector [D] a text: the mean of the final norm's output over its tokens (or that of the last token), scaled to length 1. An embedding model (an
   * encoder alone) was trained for that; of a causal language model this is what it happens to hold, good enough to compare texts roughly.
   * Like `logits`, it empties the cache: the next prompt is read from its beginning.
   * @throws InvalidRequest for options that make no sense, a text without tokens or longer than the context, a model without a tokenizer
   */
  async embed(input: string | readonly string[], options: EmbedOptions = {}): Promise<Float32Array<ArrayBuffer>[]> {
    checkPooling(options.pooling);
    if (this.config.encoder && !isEncoderAlone(this.config))
      throw new InvalidRequest(
        'embed needs a causal model or an encoder alone: this one has an encoder and a decoder',
        {
          option: 'embed',
        },
      );
    const texts = (typeof input === 'string' ? [input] : input).map((one) => promptIds(one, this.text));
    for (const ids of texts) checkIds(ids, this.config.vocab, this.plan.contextLength);
    const signal = this.#orDisposed(options.signal);
    const wishes = { ...options, pooling: options.pooling ?? this.#prepared.opened.pooling ?? 'mean', signal };
    return this.#aside(async ({ session }) => {
      const vectors: Float32Array<ArrayBuffer>[] = [];
      for (const ids of texts) vectors.push(await embedTokens(session, ids, this.config.hidden, wishes));
      return vectors;
    }, signal);
  }

  /**
   * The likeliest label of every token of a text, and the spans that they come to: what a model with a head for labels (privacy-filter) is for.
   * @throws InvalidRequest for a model without labels or a tokenizer, a text without tokens or longer than the context; UnsupportedModel where the
   *   tokenizer changes the text
   */
  async label(text: string, options: LabelOptions = {}): Promise<Labels> {
    labelsOf(this.config);
    const ids = promptIds(text, this.text);
    checkIds(ids, this.config.vocab, this.plan.contextLength);
    const places = placesOf(text, ids, this.text!);
    const signal = this.#orDisposed(options.signal);
    return this.#aside(({ session }) => labelTokens(session, text, ids, places, signal), signal);
  }

  #checkEncoded({ encoded, hidden }: { encoded?: readonly number[]; hidden?: boolean }): void {
    const hasEncoder = this.config.encoder !== undefined;
    if (hasEncoder !== (encoded !== undefined))
      throw new InvalidRequest(
        hasEncoder
          ? 'logits needs the option encoded: the text that this model’s encoder reads'
          : 'The option encoded is for models with an encoder, which this one has not',
        { option: 'encoded' },
      );
    if (hasEncoder && hidden)
      throw new InvalidRequest('logits gives no hidden states of a model with an encoder', { option: 'hidden' });
    if (encoded) checkIds(encoded, this.config.vocab, this.plan.contextLength);
  }

  /** A request that makes buffers of its own: when the GPU has no room for them, says in how much memory it would. */
  async #aside<T>(work: (runtime: Runtime) => Promise<T>, signal: AbortSignal): Promise<T> {
    const release = await this.#acquire();
    try {
      const result = await this.#run(async (runtime) => {
        await runtime.experts.grow();
        return work(runtime).catch((error: unknown) => {
          throw error instanceof OutOfBudget ? runtime.experts.withSuggestion(error) : error;
        });
      }, signal);
      this.#recovery.finished();
      return result;
    } finally {
      release();
    }
  }

  /** Waits for the requests before this one. */
  async #acquire(): Promise<() => void> {
    const before = this.#busy;
    let done: () => void = () => undefined;
    this.#busy = new Promise((resolve) => (done = resolve));
    const release = (): void => {
      this.#running.delete(release);
      done();
    };
    this.#running.add(release);
    await before;
    try {
      this.#disposal.signal.throwIfAborted();
      this.#recovery.assertUsable();
    } catch (error) {
      release();
      throw error;
    }
    return release;
  }

  #orDisposed(signal: AbortSignal | undefined): AbortSignal {
    const disposed = this.#disposal.signal;
    return signal ? AbortSignal.any([signal, disposed]) : disposed;
  }

  /** @param work run again on the next device when this one is lost under it */
  #run<T>(work: (runtime: Runtime) => Promise<T>, signal: AbortSignal): Promise<T> {
    const running = this.#recovery.run(work, signal);
    this.#working = running.catch(() => undefined);
    return running;
  }

  /**
   * Frees every GPU buffer, after the token being computed. Requests that are running, waiting, or made later end with an InvalidRequest.
   * Safe at any time, also inside a loop over `generate`.
   */
  async dispose(): Promise<void> {
    this.#disposal.abort(new InvalidRequest('The model was disposed', {})); // only the first abort counts
    this.#disposed ??= this.#working.then(async () => {
      const { experts, session, gpu } = await this.#recovery.close();
      await experts.close();
      session.dispose();
      gpu.dispose();
    });
    for (const release of [...this.#running]) release();
    await this.#disposed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

/** @returns how much of the prompt is in the cache already */
async function beginOn({ experts, session }: Runtime, answer: Answer, decoder: Decoder): Promise<number> {
  await experts.grow();
  await session.adapt(answer.adapter);
  if (decoder.guesses) await session.prepareGuesses();
  session.intervene(answer.interventions);
  if (answer.skipsCache) session.forget();
  await session.startRequest(answer.prompt, answer.wants).catch((error: unknown) => {
    throw error instanceof OutOfBudget ? experts.withSuggestion(error) : error;
  });
  return session.reusable(answer.prompt);
}
