/** A scripted model for tests of apps: the same calls, answers from a list or a function, no GPU. Its routing and figures are made up, and say so. */
import { createChat } from './chat/chat.ts';
import type { ChatSource } from './chat/source.ts';
import type { Chat } from './chat/types.ts';
import type { GeneratedToken, GenerateOptions, GenerateSummary } from './engine/generation.ts';
import type { LayerRouting } from './engine/routing.ts';
import type { Prompt } from './engine/text.ts';
import { InvalidRequest } from './errors.ts';
import { createStopScanner } from './text/stop.ts';
import { prng } from './util/prng.ts';

export interface ScriptedAnswer {
  /** What the model writes: with `<think>` and `<tool_call>` where it thinks and calls. */
  readonly text: string;
  /** Thrown once so many tokens were given. */
  readonly error?: { readonly afterTokens: number; readonly error: Error };
  /** How the prompt ends: `<think>` for templates that open the thoughts. */
  readonly promptTail?: string;
}

export interface ScriptedCall {
  /** From 0. */
  readonly index: number;
  readonly prompt: Prompt;
  readonly options: GenerateOptions;
}

/** A string is an answer's text; an error is thrown in place of the first token. */
export type ScriptedReply = string | ScriptedAnswer | Error;

export interface ScriptedOptions {
  /** One after another; or what to answer to a call. */
  readonly answers: readonly ScriptedReply[] | ((call: ScriptedCall) => ScriptedReply | Promise<ScriptedReply>);
  readonly id?: string;
  readonly contextLength?: number;
  /** The chat template's text, which tells how thoughts and calls are marked. Default: `<think>` and `<tool_call>`. */
  readonly templateText?: string | null;
  /** Before each token. Default 0. */
  readonly tokenMs?: number;
  /** Of the made-up routing. Default: 2 layers of 8 experts, of which 2 are chosen. */
  readonly moe?: { readonly layers: number; readonly experts: number; readonly topK: number };
}

export interface ScriptedModel extends ChatSource {
  readonly chat: Chat;
  /** What was asked so far. */
  readonly calls: readonly ScriptedCall[];
}

/** Stands in `approximations` of every answer. */
export const SIMULATED = 'simulated: webmoe/testing ran no model';

type Moe = NonNullable<ScriptedOptions['moe']>;

const TEMPLATE = '{# thoughts between <think> and </think>; calls are told of in a system message #}';

/** The text of a call, as a model writes it that was told of tools in a system message. */
export const toolCallText = (name: string, args: Readonly<Record<string, unknown>>): string =>
  `<tool_call>\n${JSON.stringify({ name, arguments: args })}\n</tool_call>`;

const pieces = (text: string): string[] => text.match(/\s?[^\s]{1,6}|\s/gu) ?? [];

function idOf(piece: string): number {
  let hash = 0;
  for (const c of piece) hash = (Math.imul(hash, 31) + c.codePointAt(0)!) >>> 0;
  return hash % 32_000;
}

const promptText = (prompt: Prompt): string =>
  typeof prompt === 'string'
    ? prompt
    : 'ids' in prompt
      ? prompt.ids.map(() => 'a').join(' ')
      : prompt.map(({ role, content }) => `${role} ${typeof content === 'string' ? content : ''}`).join('\n');

/** K different experts a layer, weights that sum to 1, the same for the same seed and place. */
function madeUpRouting({ layers, experts, topK }: Moe, seed: number): LayerRouting[] {
  const random = prng(seed);
  return Array.from({ length: layers }, () => {
    const left = Array.from({ length: experts }, (_, e) => e);
    const ids = Uint32Array.from({ length: topK }, () => left.splice(Math.floor(random() * left.length), 1)[0]!);
    const raw = Float32Array.from({ length: topK }, () => 0.1 + random()).sort((a, b) => b - a);
    const sum = raw.reduce((a, w) => a + w, 0);
    return { ids, weights: raw.map((w) => w / sum) };
  });
}

const wait = (ms: number, signal: AbortSignal | undefined): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done);
  });

function tokenOf(
  piece: string,
  text: string,
  at: number,
  seed: number,
  options: GenerateOptions,
  moe: Moe,
): GeneratedToken {
  const bytes = new TextEncoder().encode(piece);
  const logprob = -prng(seed + at)();
  const tops = Array.from({ length: options.topLogprobs ?? 0 }, (_, i) => ({
    id: idOf(piece) + i,
    logprob: logprob - i,
    bytes,
  }));
  return {
    id: idOf(piece),
    text,
    logprob,
    bytes,
    ...(tops.length > 0 && { topLogprobs: tops }),
    routing: options.routing === 'off' || options.routing === 'counts' ? [] : madeUpRouting(moe, seed + at),
  };
}

class Scripted implements ScriptedModel {
  readonly id: string;
  readonly contextLength: number;
  readonly templateText: string | null;
  readonly chat: Chat;
  readonly calls: ScriptedCall[] = [];
  readonly #script: ScriptedOptions;
  #busy: Promise<unknown> = Promise.resolve();

  constructor(script: ScriptedOptions) {
    this.#script = script;
    this.id = script.id ?? 'scripted';
    this.contextLength = script.contextLength ?? 4096;
    this.templateText = script.templateText === undefined ? TEMPLATE : script.templateText;
    this.chat = createChat(this);
  }

  /** Calls queue, as those of a model do. */
  async *generate(
    prompt: Prompt,
    options: GenerateOptions = {},
  ): AsyncGenerator<GeneratedToken, GenerateSummary, void> {
    const before = this.#busy;
    let release = (): void => undefined;
    this.#busy = new Promise<void>((resolve) => (release = resolve));
    await before;
    try {
      return yield* this.#answer(prompt, options);
    } finally {
      release();
    }
  }

  async *#answer(prompt: Prompt, options: GenerateOptions): AsyncGenerator<GeneratedToken, GenerateSummary, void> {
    const reply = await this.#reply(prompt, options);
    const { text, error, promptTail } = typeof reply === 'string' ? { text: reply } : reply;
    const { tokenMs = 0, moe = { layers: 2, experts: 8, topK: 2 } } = this.#script;
    const seed = options.seed ?? 0;
    const promptTokens = pieces(promptText(prompt)).length;
    const room = this.contextLength - promptTokens;
    if (room < 1)
      throw new InvalidRequest(`The prompt has ${promptTokens} tokens; the context holds ${this.contextLength}`, {});
    const stop = createStopScanner(typeof options.stop === 'string' ? [options.stop] : (options.stop ?? []));
    const startedAt = performance.now();
    let firstAt: number | null = null;
    let written = '';
    let generated = 0;
    const summary = (finishReason: GenerateSummary['finishReason']): GenerateSummary => {
      const seconds = (performance.now() - (firstAt ?? startedAt)) / 1000;
      return {
        finishReason,
        text: written,
        promptTokens,
        cachedTokens: 0,
        generatedTokens: generated,
        seed,
        timeToFirstTokenMs: (firstAt ?? startedAt) - startedAt,
        tokensPerSecond: generated > 1 && seconds > 0 ? (generated - 1) / seconds : null,
        approximations: [SIMULATED],
      };
    };
    const all = pieces(text);
    const limit = Math.min(options.maxTokens ?? room, room);
    for (const piece of all) {
      if (error && generated >= error.afterTokens) throw error.error;
      if (tokenMs > 0) await wait(tokenMs, options.signal);
      if (options.signal?.aborted) return summary('abort');
      firstAt ??= performance.now();
      generated++;
      const isLast = generated === Math.min(all.length, limit);
      const { text: safe, stopped } = stop.push(piece);
      const shown = safe + (isLast && !stopped ? stop.flush() : '');
      written += shown;
      const token = tokenOf(piece, shown, generated, seed, options, moe);
      yield generated === 1 && promptTail !== undefined ? { ...token, promptTail } : token;
      if (stopped) return summary('stop');
      if (generated === limit && generated < all.length) return summary('length');
    }
    if (error) throw error.error;
    return summary(options.signal?.aborted ? 'abort' : 'stop');
  }

  async #reply(prompt: Prompt, options: GenerateOptions): Promise<string | ScriptedAnswer> {
    const { answers } = this.#script;
    const call: ScriptedCall = { index: this.calls.length, prompt, options };
    this.calls.push(call);
    const reply = typeof answers === 'function' ? await answers(call) : answers[call.index];
    if (reply === undefined) {
      throw new InvalidRequest(`The script has ${answers.length} answers, and was asked for one more`, {});
    }
    if (reply instanceof Error) throw reply;
    return reply;
  }
}

/**
 * A model that says what a script says. It keeps to `maxTokens`, `stop`, `signal`, `seed` and `routing`; a constraint is not applied: write answers that
 * keep it. Every answer's `approximations` hold `SIMULATED`.
 */
export const scriptedModel = (script: ScriptedOptions): ScriptedModel => new Scripted(script);
