/** A loaded model: generates, scores, frees. */
import type { ModelConfig } from '../config/model-config.ts';
import type { GenerationDefaults } from '../config/load.ts';
import { InvalidRequest, SourceError } from '../errors.ts';
import type { BufferRole } from '../gpu/buffer.ts';
import type { DeviceFacts } from '../gpu/device.ts';
import type { Counters, Gpu } from '../gpu/gpu.ts';
import { createDetokenizer } from '../text/detokenizer.ts';
import { createStopScanner } from '../text/stop.ts';
import type { GeneratedToken, GenerateOptions, GenerateSummary } from './generation.ts';
import { resolveSampling, samplingDefaults, type SamplingDefault } from './sampling.ts';
import type { RecordLevel } from './expert-monitor.ts';
import type { ExpertService } from './expert-service.ts';
import type { CacheReport, ExpertStats, StepEvent } from './expert-stats.ts';
import type { Plan } from './plan.ts';
import type { DrawnToken, LogitsResult, Session } from './session.ts';
import { promptIds, type ModelText, type Prompt } from './text.ts';

export interface ModelParts {
  readonly gpu: Gpu;
  readonly config: ModelConfig;
  readonly generation: GenerationDefaults;
  /** Tokens that end an answer. */
  readonly endTokens: readonly number[];
  readonly session: Session;
  readonly text: ModelText | null;
  readonly experts: ExpertService;
}

export class Model {
  readonly #parts: ModelParts;
  /** Settles when the requests so far are done: a queue. */
  #busy: Promise<void> = Promise.resolve();
  readonly #running = new Set<() => void>();
  /** GPU work in flight; `dispose` waits for it, not for a caller who stopped asking for tokens. */
  #working: Promise<unknown> = Promise.resolve();
  readonly #disposal = new AbortController();
  #disposed: Promise<void> | undefined;

  constructor(parts: ModelParts) {
    this.#parts = parts;
  }

  get config(): ModelConfig {
    return this.#parts.config;
  }

  /** What was allocated: with fewer slots than planned where the GPU had no room, and as `setGpuBytes` last changed it. */
  get plan(): Plan {
    return this.#parts.experts.plan;
  }

  /** null when the checkpoint has no tokenizer.json. */
  get text(): ModelText | null {
    return this.#parts.text;
  }

  get device(): DeviceFacts {
    return this.#parts.gpu.facts;
  }

  /** What the GPU was asked to do so far. */
  get counters(): Readonly<Counters> {
    return { ...this.#parts.gpu.counters };
  }

  get gpuBytes(): Readonly<Record<BufferRole, number>> {
    return this.#parts.gpu.ledger.bytesByRole();
  }

  /** What is kept on disk (or in memory) for the next start; null when nothing is. */
  get kept(): { readonly presentBytes: number; readonly totalBytes: number; readonly isComplete: boolean } | null {
    return this.#parts.experts.kept;
  }

  /** Where the experts are and how well the store does; null for a model without experts. */
  expertStats(): ExpertStats | null {
    const { store, monitor } = this.#parts.experts;
    return store.total ? monitor.stats() : null;
  }

  /**
   * Replays the session's last tokens through the cache, by every policy and by the best that one could have done: seconds of work in slices of a few
   * milliseconds, while tokens may go on.
   * @returns null when no token was decoded while experts were missing
   * @throws the signal's reason
   */
  async cacheReport(options: { readonly signal?: AbortSignal } = {}): Promise<CacheReport | null> {
    const { experts } = this.#parts;
    return experts.cacheReport(this.#orDisposed(options.signal));
  }

  /**
   * Calls `listener` with every step from now on.
   * @param level `ids` adds which experts each token used and where each came from
   * @returns stops it
   */
  onStep(listener: (event: StepEvent) => void, level: RecordLevel = 'counts'): () => void {
    return this.#parts.experts.monitor.listen(listener, level);
  }

  /**
   * Changes how much GPU memory the model may use, between requests: fewer or more experts have a slot from then on. Answers stay the same.
   * @throws OutOfBudget when it cannot run in so little; nothing changes then
   */
  async setGpuBytes(bytes: number): Promise<void> {
    if (!(bytes > 0)) throw new InvalidRequest(`gpuBytes must be a number above 0, got ${bytes}`, { gpuBytes: bytes });
    const release = await this.#acquire();
    try {
      await this.#work(this.#parts.experts.resize(bytes));
    } finally {
      release();
    }
  }

  /** Takes an expert off the GPU; it comes back when it is needed. Nothing happens when it is not there. */
  evict(layer: number, expert: number): void {
    this.#parts.experts.store.evict(layer, expert);
  }

  /** Resolves when all experts that can be fetched ahead of time are on the GPU or kept on disk. */
  settled(): Promise<void> {
    return this.#parts.experts.settled();
  }

  /** What a request that asks for nothing gets: what the checkpoint recommends, or what changes nothing. */
  get samplingDefaults(): SamplingDefault {
    return samplingDefaults(this.#parts.generation);
  }

  /** Tokens that end an answer. */
  get endTokens(): readonly number[] {
    return this.#parts.endTokens;
  }

  /** Resolves when the GPU goes away. */
  get lost(): Promise<{ readonly reason: string; readonly message: string }> {
    return this.#parts.gpu.lost;
  }

  /**
   * Generates token by token. The keys and values of earlier turns are kept: a prompt that starts like the last conversation only pays for
   * what is new. Calls queue up; leaving the loop early is fine.
   * @throws InvalidRequest for bad options, an empty prompt, or one that leaves no room in the context
   */
  async *generate(
    prompt: Prompt,
    options: GenerateOptions = {},
  ): AsyncGenerator<GeneratedToken, GenerateSummary, void> {
    const { session, generation, text, experts } = this.#parts;
    const { plan } = this;
    const ids = promptIds(prompt, text, options);
    this.#checkIds(ids, 1);
    const sampling = resolveSampling(options, generation);
    const room = plan.contextLength - ids.length;
    const maxTokens = options.maxTokens ?? room;
    if (!Number.isInteger(maxTokens) || maxTokens < 1)
      throw new InvalidRequest(`maxTokens must be a whole number of at least 1, got ${maxTokens}`, { maxTokens });
    if (options.stop !== undefined && !text) throw new InvalidRequest('stop strings need a tokenizer', {});
    const ends = new Set(options.ignoreEnd ? [] : this.endTokens);
    const detokenizer = text && createDetokenizer(text.tokenizer, ids);
    const stop = createStopScanner(typeof options.stop === 'string' ? [options.stop] : (options.stop ?? []));

    const release = await this.#acquire();
    const signal = this.#orDisposed(options.signal);
    const startedAt = performance.now();
    let firstAt = startedAt;
    let written = '';
    let generated = 0;
    const cachedTokens = session.reusable(ids);
    let endDemand = (): void => undefined;
    const summary = (finishReason: GenerateSummary['finishReason']): GenerateSummary => {
      const seconds = (performance.now() - firstAt) / 1000;
      return {
        finishReason,
        text: written,
        promptTokens: ids.length,
        cachedTokens,
        generatedTokens: generated,
        seed: sampling.seed,
        timeToFirstTokenMs: firstAt - startedAt,
        tokensPerSecond: generated > 1 && seconds > 0 ? (generated - 1) / seconds : null,
        approximations: experts.monitor.approximations,
      };
    };
    try {
      signal.throwIfAborted();
      await this.#work(experts.grow());
      session.startRequest(ids);
      // Nothing is done ahead of time while somebody waits for the first word.
      endDemand = experts.store.demand.begin();
      const limit = Math.min(maxTokens, room);
      let drawn: DrawnToken = await this.#work(
        session.prefill(ids, sampling, signal, (done) => options.onPrompt?.({ done, total: ids.length })),
      );
      firstAt = performance.now();
      endDemand();
      for (;;) {
        generated++;
        if (ends.has(drawn.id)) {
          const rest = stop.flush(detokenizer?.flush() ?? '');
          written += rest;
          yield { id: drawn.id, text: rest, logprob: drawn.logprob, routing: drawn.routing };
          return summary('stop');
        }
        const isLast = generated >= limit;
        const piece = detokenizer ? detokenizer.push(drawn.id) + (isLast ? detokenizer.flush() : '') : '';
        const checked = stop.push(piece);
        const shown = checked.text + (isLast && !checked.stopped ? stop.flush('') : '');
        written += shown;
        yield { id: drawn.id, text: shown, logprob: drawn.logprob, routing: drawn.routing };
        if (checked.stopped) return summary('stop');
        if (isLast) return summary('length');
        signal.throwIfAborted();
        drawn = await this.#work(session.step(drawn.id, sampling, signal));
      }
    } catch (error) {
      if (options.signal?.aborted && error === options.signal.reason) return summary('abort');
      // A token whose experts could not be fetched left nothing behind; after anything else the cache's contents are no longer certain.
      if (!(error instanceof SourceError)) session.forget();
      throw await this.#parts.gpu.explain(error);
    } finally {
      endDemand();
      release();
    }
  }

  /**
   * Logits of every token of `ids`, with the routing; no sampling.
   * @throws InvalidRequest for ids outside the vocabulary or a sequence longer than the context
   */
  async logits(
    ids: readonly number[],
    options: { readonly hidden?: boolean; readonly signal?: AbortSignal } = {},
  ): Promise<LogitsResult> {
    this.#checkIds(ids, 0);
    const release = await this.#acquire();
    try {
      const signal = this.#orDisposed(options.signal);
      await this.#work(this.#parts.experts.grow());
      return await this.#work(this.#parts.session.logits(ids, { ...options, signal }));
    } finally {
      release();
    }
  }

  #checkIds(ids: readonly number[], room: number): void {
    const { vocab } = this.config;
    const { contextLength } = this.plan;
    if (ids.length === 0) throw new InvalidRequest('The prompt is empty', {});
    const bad = ids.findIndex((id) => !Number.isInteger(id) || id < 0 || id >= vocab);
    if (bad >= 0)
      throw new InvalidRequest(`Token ${bad} of the prompt is ${ids[bad]}; the vocabulary has ids 0 to ${vocab - 1}`, {
        index: bad,
        id: ids[bad],
      });
    if (ids.length + room > contextLength) {
      throw new InvalidRequest(
        `The prompt has ${ids.length} tokens; the context holds ${contextLength}, answer included. Shorten it, or load with a larger contextLength`,
        {
          promptTokens: ids.length,
          contextLength,
        },
      );
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
      this.#parts.gpu.assertAlive();
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

  #work<T>(work: Promise<T>): Promise<T> {
    this.#working = work.catch(() => undefined);
    return work;
  }

  /**
   * Frees every GPU buffer, after the token being computed. Requests that are running, waiting, or made later end with an InvalidRequest.
   * Safe at any time, also inside a loop over `generate`.
   */
  async dispose(): Promise<void> {
    this.#disposal.abort(new InvalidRequest('The model was disposed', {})); // only the first abort counts
    this.#disposed ??= this.#working.then(async () => {
      await this.#parts.experts.close();
      this.#parts.session.dispose();
      this.#parts.gpu.dispose();
    });
    for (const release of [...this.#running]) release();
    await this.#disposed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
