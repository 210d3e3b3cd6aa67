/** A loaded model, the same whether the engine runs in a worker or in this thread. */
import type { ModelConfig } from '../config/model-config.ts';
import { createChat } from '../chat/chat.ts';
import type { ChatSource } from '../chat/source.ts';
import type { Chat } from '../chat/types.ts';
import type { EmbedOptions } from '../engine/embedding.ts';
import type { LabelOptions, Labels } from '../engine/labelling.ts';
import type { CacheReport, ExpertStats, StepEvent } from '../engine/expert-stats.ts';
import type { GeneratedToken, GenerateOptions, GenerateSummary } from '../engine/generation.ts';
import type { Plan } from '../engine/plan.ts';
import type { RecoveryEvent } from '../engine/recovery.ts';
import type { SamplingDefault } from '../engine/sampling.ts';
import type { LogitsResult } from '../engine/scoring.ts';
import type { Prompt } from '../engine/text.ts';
import { InvalidRequest } from '../errors.ts';
import type {
  Args,
  CallName,
  DeviceFacts,
  Kept,
  LogitsOptions,
  LostDevice,
  ModelFacts,
  Result,
  StepLevel,
} from './calls.ts';
import type { CallOptions } from './connection.ts';
import type { Link, OpenLink, RunsIn } from './link.ts';
import { ModelTemplate, ModelTokenizer } from './model-text.ts';
import { split, told } from './options.ts';

export class Model implements ChatSource {
  /** Chat completions as OpenAI's clients ask for them. */
  readonly chat: Chat;
  readonly #open: OpenLink;
  #link: Link;
  readonly #tokensAhead: number;
  readonly #tokenizer: ModelTokenizer | null;
  readonly #template: ModelTemplate | null;
  /** Each with a way to listen again, to a model that was restarted. */
  readonly #listeners = new Set<() => void>();
  #disposed: Promise<void> | null = null;
  #restarting: Promise<void> | null = null;

  private constructor(open: OpenLink, link: Link, tokensAhead: number) {
    this.#open = open;
    this.#link = link;
    this.#tokensAhead = tokensAhead;
    const ask = <K extends CallName>(name: K, args: Args<K>): Promise<Result<K>> => this.#ask(name, args);
    this.chat = createChat(this);
    const { tokenizer, template } = link.facts;
    this.#tokenizer = tokenizer && new ModelTokenizer(ask, tokenizer.vocabSize);
    this.#template = template === null ? null : new ModelTemplate(ask, template);
  }

  /** @param open loads the model: now, and when it is restarted */
  static async open(open: OpenLink, options: { readonly tokensAhead?: number | undefined } = {}): Promise<Model> {
    return new Model(open, await open('load'), options.tokensAhead ?? 0);
  }

  /** What the source calls itself: its address, or the name of its folder. */
  get id(): string {
    return this.#link.facts.id;
  }

  /** Where answers come from: this computer. */
  get side(): 'local' {
    return 'local';
  }

  /** Where the engine runs. `inline-worker`: the worker's own file could not be started. */
  get runsIn(): RunsIn {
    return this.#link.runsIn;
  }

  get config(): ModelConfig {
    return this.#link.facts.config;
  }

  /** As of the last answer of this model: after a loss it may be another one. */
  get device(): DeviceFacts {
    return this.#link.state.device;
  }

  /** Which kernels take a few tokens, and the tiles of experts: docs/speculation.md. */
  get tuning(): ModelFacts['tuning'] {
    return this.#link.facts.tuning;
  }

  /** What a request that asks for nothing gets: what the checkpoint recommends, or what changes nothing. */
  get samplingDefaults(): SamplingDefault {
    return this.#link.facts.samplingDefaults;
  }

  /** Tokens that end an answer. */
  get endTokens(): readonly number[] {
    return this.#link.facts.endTokens;
  }

  /** Most tokens of a conversation, answer included. */
  get contextLength(): number {
    return this.plan.contextLength;
  }

  /** What was allocated, as of the last answer of this model: with fewer slots than planned where the GPU had no room, and as `setGpuBytes` last changed it. */
  get plan(): Plan {
    return this.#link.state.plan;
  }

  /** What is kept on disk (or in memory) for the next start, as of the last answer of this model; null when nothing is. */
  get kept(): Kept {
    return this.#link.state.kept;
  }

  /** null when the checkpoint has no tokenizer.json. */
  get tokenizer(): ModelTokenizer | null {
    return this.#tokenizer;
  }

  /** null when the checkpoint has no chat template. */
  get template(): ModelTemplate | null {
    return this.#template;
  }

  /** As the checkpoint has it; null: there is none. */
  get templateText(): string | null {
    return this.#link.facts.template;
  }

  /** Resolves when the GPU is gone for good, or the worker; `reason` is `worker-lost` for the worker. Another promise after `restart`. */
  get lost(): Promise<LostDevice> {
    return this.#link.lost;
  }

  /** Where the experts are and how well the store does; null for a model without experts. */
  expertStats(): Promise<ExpertStats | null> {
    return this.#ask('expertStats', []);
  }

  /** Where every expert is now: for each MoE layer [E], the index in `PLACES` of webmoe/trace; no layers for a model without experts. */
  expertPlaces(): Promise<Uint8Array<ArrayBuffer>[]> {
    return this.#ask('expertPlaces', []);
  }

  /**
   * Replays the session's last tokens through the cache, by every policy and by the best that one could have done: seconds of work in slices of a few
   * milliseconds, while tokens may go on.
   * @returns null when no token was decoded while experts were missing
   * @throws the signal's reason
   */
  cacheReport({ signal }: { readonly signal?: AbortSignal } = {}): Promise<CacheReport | null> {
    return this.#ask('cacheReport', [], { signal });
  }

  /**
   * Logits of every token of `ids`, with the routing; no sampling.
   * @throws InvalidRequest for ids outside the vocabulary or a sequence longer than the context; the signal's reason
   */
  logits(ids: readonly number[], { signal, ...options }: LogitsOptions = {}): Promise<LogitsResult> {
    return this.#ask('logits', [ids, options], { signal });
  }

  /**
   * A vector of D numbers for each text, from the hidden states after the final norm: what an embedding model (an encoder alone) was trained for; of a
   * causal language model it is good enough to compare texts roughly. Like `logits`, it empties the cache: the next prompt is read from its beginning.
   * @throws InvalidRequest for options that make no sense, a text without tokens or longer than the context, a model without a tokenizer; the
   *   signal's reason
   */
  embed(
    input: string | readonly string[],
    { signal, ...options }: EmbedOptions = {},
  ): Promise<Float32Array<ArrayBuffer>[]> {
    return this.#ask('embed', [input, options], { signal });
  }

  /**
   * The likeliest label of every token of a text, and the spans that they come to: what a model with a head for labels (privacy-filter) is for.
   * @throws InvalidRequest for a model without labels or a tokenizer, a text without tokens or longer than the context; UnsupportedModel where the
   *   tokenizer changes the text; the signal's reason
   */
  label(text: string, { signal }: LabelOptions = {}): Promise<Labels> {
    return this.#ask('label', [text], { signal });
  }

  /**
   * Changes how much GPU memory the model may use, between requests: fewer or more experts have a slot from then on. Answers stay the same.
   * @throws OutOfBudget when it cannot run in so little; nothing changes then
   */
  setGpuBytes(bytes: number): Promise<void> {
    return this.#ask('setGpuBytes', [bytes]);
  }

  /** Takes an expert off the GPU; it comes back when it is needed. Nothing happens when it is not there. */
  evict(layer: number, expert: number): Promise<void> {
    return this.#ask('evict', [layer, expert]);
  }

  /** Resolves when all experts that can be fetched ahead of time are on the GPU or kept on disk. */
  settled(): Promise<void> {
    return this.#ask('settled', []);
  }

  /** What the GPU was asked to do so far. */
  counters(): Promise<Result<'counters'>> {
    return this.#ask('counters', []);
  }

  /** Bytes of the GPU's buffers by what they are for. */
  gpuBytes(): Promise<Result<'gpuBytes'>> {
    return this.#ask('gpuBytes', []);
  }

  /**
   * Calls `listener` with every step from now on.
   * @param level `ids` adds which experts each token used and where each came from
   * @returns stops it
   */
  onStep(listener: (event: StepEvent) => void, level: StepLevel = 'counts'): () => void {
    return this.#listen('steps', [level], listener as (event: unknown) => void);
  }

  /**
   * Calls `listener` when the device was lost, and with each step of replacing it; requests wait and go on by themselves.
   * @returns stops it
   */
  onRecovery(listener: (event: RecoveryEvent) => void): () => void {
    return this.#listen('recovery', [], listener as (event: unknown) => void);
  }

  /**
   * Generates token by token. The keys and values of earlier turns are kept: a prompt that starts like the last conversation only pays for
   * what is new. Calls queue up, or run together where the model was loaded with `requests`; leaving the loop early is fine. Nothing happens before the first token is asked for.
   * @throws InvalidRequest for bad options, an empty prompt, or one that leaves no room in the context; WorkerLost
   */
  async *generate(
    prompt: Prompt,
    options: GenerateOptions = {},
  ): AsyncGenerator<GeneratedToken, GenerateSummary, void> {
    this.#assertOpen();
    const { options: sent, signal, onEvent } = split(options);
    const how = { signal, onEvent, ahead: this.#tokensAhead };
    const answer = this.#link.connection.stream('generate', [prompt, sent], how);
    try {
      return yield* answer as AsyncGenerator<GeneratedToken, GenerateSummary, void>;
    } catch (error) {
      throw this.#explain(error);
    }
  }

  /**
   * Loads the model again, in a new worker if it ran in one: after `WorkerLost` or `DeviceLost`. The conversation is forgotten, listeners stay.
   * @throws as `load`; InvalidRequest after `dispose`, or when the worker was the caller's own and cannot be started again
   */
  restart(): Promise<void> {
    return (this.#restarting ??= this.#restart().finally(() => (this.#restarting = null)));
  }

  async #restart(): Promise<void> {
    this.#assertOpen();
    await this.#link.close(new InvalidRequest('The model was restarted', {}));
    this.#assertOpen();
    this.#link = await this.#open('restart');
    for (const listen of this.#listeners) listen();
    if (this.#disposed) await this.#link.close(disposedError());
  }

  /**
   * Frees every GPU buffer, after the token being computed, and ends the worker unless it was given. Requests that are running, waiting, or made
   * later end with an InvalidRequest. Safe at any time, also inside a loop over `generate`.
   */
  dispose(): Promise<void> {
    this.#listeners.clear();
    return (this.#disposed ??= this.#link.close(disposedError()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  /** Asks for events until the listener is stopped, again after a restart. @returns stops it */
  #listen<K extends CallName>(name: K, args: Args<K>, listener: (event: unknown) => void): () => void {
    const controller = new AbortController();
    const { signal } = controller;
    const tell = told(listener);
    const onEvent = (event: unknown): void => {
      if (!signal.aborted) tell(event);
    };
    // It ends with the model, or with the listener: nobody waits for it.
    const listen = (): void => void this.#ask(name, args, { signal, onEvent }).catch(() => undefined);
    this.#listeners.add(listen);
    listen();
    return () => {
      this.#listeners.delete(listen);
      controller.abort();
    };
  }

  /** What a disposal interrupts fails in one way or another: it ends in one. */
  #explain(error: unknown): unknown {
    return this.#disposed ? disposedError() : error;
  }

  #assertOpen(): void {
    if (this.#disposed) throw disposedError();
  }

  async #ask<K extends CallName>(name: K, args: Args<K>, options?: CallOptions): Promise<Result<K>> {
    this.#assertOpen();
    try {
      return (await this.#link.connection.call(name, args, options)) as Result<K>;
    } catch (error) {
      throw this.#explain(error);
    }
  }
}

const disposedError = (): InvalidRequest => new InvalidRequest('The model was disposed', {});
