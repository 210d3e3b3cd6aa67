/** One answer while it is written: what the request asks for, checked, and what came of it so far. No GPU in here. */
import type { GenerationDefaults } from '../config/load.ts';
import type { ModelConfig } from '../config/model-config.ts';
import { InvalidRequest } from '../errors.ts';
import type { SamplingParams } from '../gpu/step.ts';
import { createDetokenizer, type Detokenizer } from '../text/detokenizer.ts';
import { createStopScanner, type StopScanner } from '../text/stop.ts';
import { routedTokens, type RoutingRecorder } from '../trace/routing-recorder.ts';
import type { RoutingLevel } from '../trace/run-routing.ts';
import { moeLayers } from './activations.ts';
import { limitsOf } from './constrain.ts';
import { needsDecoder } from './needs-decoder.ts';
import type { GeneratedToken, GenerateOptions, GenerateSummary } from './generation.ts';
import { resolveInterventions, type ResolvedInterventions } from './interventions.ts';
import { recordRouting } from './record-routing.ts';
import type { LayerRouting } from './routing.ts';
import { resolveSampling } from './sampling.ts';
import type { DrawnToken, DrawParams, RoutingRequest } from './session/draw.ts';
import { bytesOf, isChat, piecesOf, promptIds, promptTail, type ModelText, type Prompt } from './text.ts';
import type { TokenLimits } from './token-limits.ts';
import { firstTokens, sourceIds } from './translation.ts';

/** What an answer needs to know of its model. */
export interface AnsweringModel {
  readonly text: ModelText | null;
  readonly config: ModelConfig;
  readonly generation: GenerationDefaults;
  readonly endTokens: readonly number[];
  readonly contextLength: number;
  /** Names of the adapters that were loaded. */
  readonly adapters: readonly string[];
}

type FinishReason = GenerateSummary['finishReason'];

export class Answer {
  readonly prompt: readonly number[];
  readonly interventions: ResolvedInterventions;
  readonly adapter: string | null;
  /** What of the routing is read back. */
  readonly wants: RoutingRequest;
  readonly skipsCache: boolean;
  readonly onChunk: (done: number) => void;
  readonly #text: ModelText | null;
  readonly #sampling: SamplingParams;
  readonly #limits: TokenLimits;
  readonly #level: RoutingLevel;
  readonly #recorder: RoutingRecorder;
  readonly #ends: ReadonlySet<number>;
  readonly #detokenizer: Detokenizer | null;
  readonly #stop: StopScanner;
  readonly #limit: number;
  /** Goes with the first token. */
  readonly #tail: Pick<GeneratedToken, 'promptTail'>;
  #startedAt = 0;
  #firstAt = 0;
  #cachedTokens = 0;
  #generated = 0;
  #written = '';

  /** @throws InvalidRequest for bad options, an empty prompt, one that leaves no room in the context, or a model that generates nothing */
  constructor(prompt: Prompt, options: GenerateOptions, model: AnsweringModel) {
    const { text, config, endTokens, contextLength } = model;
    needsDecoder(config, 'generate');
    const ids = sourceIds(prompt, options, model) ?? promptIds(prompt, text, options);
    checkIds(ids, config.vocab, contextLength, 1);
    this.prompt = ids;
    this.#text = text;
    this.#sampling = resolveSampling(options, model.generation);
    this.#limit = limitOf(options.maxTokens, contextLength - ids.length);
    this.#stop = stopsOf(options.stop, text);
    const first = firstTokens(options, model);
    this.#limits = limitsOf(options, { text, endTokens, vocab: config.vocab, first }, this.#limit);
    this.interventions = resolveInterventions(options.interventions, moeLayers(config));
    this.adapter = checkAdapter(options.adapter, model.adapters);
    ({ level: this.#level, recorder: this.#recorder } = recordRouting(config, options));
    this.#ends = new Set(options.ignoreEnd ? [] : endTokens);
    this.#detokenizer =
      text &&
      createDetokenizer(text.tokenizer, config.encoder ? [] : ids, {
        skipSpecial: !options.keepSpecial,
        verbatim: options.constraint !== undefined,
      });
    this.#tail = text && isChat(prompt) ? { promptTail: promptTail(ids, text) } : {};
    this.skipsCache = options.skipCache ?? false;
    this.onChunk = (done) => options.onPrompt?.({ done, total: ids.length });
    this.wants = {
      routing: this.#level !== 'off',
      logits: this.#level === 'logits',
      onPrompt: this.#promptListener(options),
    };
  }

  #promptListener({ promptRouting, onPromptRouting }: GenerateOptions): RoutingRequest['onPrompt'] {
    if (!promptRouting && !onPromptRouting) return undefined;
    const pieces = onPromptRouting && this.#text && piecesOf(this.prompt, this.#text);
    return (routing, position, count) => {
      const ids = this.prompt.slice(position, position + count);
      this.#recorder.prompt(ids, routing);
      const rows = onPromptRouting && routedTokens(this.#recorder.shape, ids, routing);
      if (rows) onPromptRouting({ ...rows, position, texts: pieces?.slice(position, position + count) ?? null });
    };
  }

  /** Tokens that prompt and answer may come to. */
  get mostTokens(): number {
    return this.prompt.length + this.#limit;
  }

  /** The clock runs from here. */
  start(): void {
    this.#startedAt = this.#firstAt = performance.now();
  }

  /** @param cachedTokens leading tokens of the prompt that need not be computed again */
  begin(cachedTokens: number): void {
    this.#cachedTokens = cachedTokens;
    this.#recorder.prompt(this.prompt.slice(0, cachedTokens), []);
  }

  /** Tokens taken. */
  get generated(): number {
    return this.#generated;
  }

  /** The most tokens that may follow. */
  get remaining(): number {
    return this.#limit - this.#generated;
  }

  /** How the next token is drawn. */
  draw(): DrawParams {
    const { bias, topLogprobs, allowed } = this.#limits;
    return { ...this.#sampling, bias, topLogprobs, allowed };
  }

  /** Goes on with the token drawn. @returns what is told of it, and how the answer ends with it; null: it goes on */
  take(drawn: DrawnToken): { readonly token: GeneratedToken; readonly finishReason: FinishReason | null } {
    if (this.#generated++ === 0) this.#firstAt = performance.now();
    if (this.#ends.has(drawn.id)) {
      const rest = this.#stop.flush(this.#detokenizer?.flush() ?? '');
      return { token: this.#token(drawn, rest), finishReason: 'stop' };
    }
    this.#limits.accept(drawn.id);
    const isLast = this.#generated >= this.#limit || this.#limits.isDone;
    const piece = this.#detokenizer ? this.#detokenizer.push(drawn.id) + (isLast ? this.#detokenizer.flush() : '') : '';
    const { text, stopped } = this.#stop.push(piece);
    const token = this.#token(drawn, text + (isLast && !stopped ? this.#stop.flush('') : ''));
    return { token, finishReason: stopped || this.#limits.isDone ? 'stop' : isLast ? 'length' : null };
  }

  /** The token taken last went into the model. */
  fed(id: number, routing: readonly LayerRouting[]): void {
    this.#recorder.generated(id, routing);
  }

  summary(finishReason: FinishReason, approximations: readonly string[]): GenerateSummary {
    const seconds = (performance.now() - this.#firstAt) / 1000;
    return {
      finishReason,
      text: this.#written,
      promptTokens: this.prompt.length,
      cachedTokens: this.#cachedTokens,
      generatedTokens: this.#generated,
      seed: this.#sampling.seed,
      timeToFirstTokenMs: this.#firstAt - this.#startedAt,
      tokensPerSecond: this.#generated > 1 && seconds > 0 ? (this.#generated - 1) / seconds : null,
      approximations,
      interventions: this.interventions.labels,
      routing: this.#recorder.routing(),
    };
  }

  #token({ id, logprob, routing, topLogprobs }: DrawnToken, shown: string): GeneratedToken {
    this.#written += shown;
    const bytes = bytesOf(this.#text, id);
    const top = topLogprobs.map((token) => ({ ...token, bytes: bytesOf(this.#text, token.id) }));
    return {
      id,
      text: shown,
      logprob,
      bytes,
      routing: this.#level === 'counts' ? [] : routing,
      ...(top.length > 0 && { topLogprobs: top }),
      ...(this.#generated === 1 && this.#tail),
    };
  }
}

function limitOf(maxTokens: number | undefined, room: number): number {
  const limit = maxTokens ?? room;
  if (!Number.isInteger(limit) || limit < 1)
    throw new InvalidRequest(`maxTokens must be a whole number of at least 1, got ${limit}`, { maxTokens: limit });
  return Math.min(limit, room);
}

function stopsOf(stop: GenerateOptions['stop'], text: ModelText | null): StopScanner {
  if (stop !== undefined && !text) throw new InvalidRequest('stop strings need a tokenizer', {});
  return createStopScanner(typeof stop === 'string' ? [stop] : (stop ?? []));
}

/** @param room tokens that the context must hold beside them @throws InvalidRequest */
export function checkIds(ids: readonly number[], vocab: number, contextLength: number, room = 0): void {
  if (ids.length === 0) throw new InvalidRequest('The prompt is empty', {});
  const bad = ids.findIndex((id) => !Number.isInteger(id) || id < 0 || id >= vocab);
  if (bad >= 0)
    throw new InvalidRequest(`Token ${bad} of the prompt is ${ids[bad]}; the vocabulary has ids 0 to ${vocab - 1}`, {
      index: bad,
      id: ids[bad],
    });
  if (ids.length + room > contextLength)
    throw new InvalidRequest(
      `The prompt has ${ids.length} tokens; the context holds ${contextLength}, answer included. Shorten it, or load with a larger contextLength`,
      { promptTokens: ids.length, contextLength },
    );
}

/** @throws InvalidRequest for a name that was not loaded */
export function checkAdapter(name: string | null | undefined, loaded: readonly string[]): string | null {
  if (name === null || name === undefined) return null;
  if (loaded.includes(name)) return name;
  throw new InvalidRequest(
    `No adapter is called ${JSON.stringify(String(name).slice(0, 80))}: ${loaded.length > 0 ? `${loaded.join(', ')} are loaded` : 'load names none in its option adapters'}`,
    { option: 'adapter', loaded },
  );
}
