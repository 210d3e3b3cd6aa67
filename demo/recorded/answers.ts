/** A recorded session in the model's place, as the conversation sees it: the same tokens, with their routing, after one another. */
import type { GenerateOptions } from '../../src/index.ts';
import type { AnswerEnd, Answerer, Turn } from '../engine.ts';
import { tokensOf, type RecordedToken, type Recording } from './recording.ts';

/** Longest wait before a token: a software adapter takes longer than anybody reads. */
const LONGEST_GAP_MS = 80;

export interface RecordedAnswers extends Answerer {
  generate(prompt: readonly Turn[], options?: GenerateOptions): AsyncGenerator<RecordedToken, AnswerEnd, void>;
  /** The rest of the answer comes at once. */
  skip(): void;
}

export interface PlayOptions {
  /** Answers come whole, for people who want no motion. */
  readonly isInstant: boolean;
  /** Ends early when the signal aborts. For tests; default: by the clock. */
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<void>;
}

const byClock = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });

/** The token behind this much of the text. */
function tokenAfter(text: string, tokens: readonly RecordedToken[]): number {
  let length = 0;
  const found = tokens.findIndex((token) => (length += token.text.length) > text.length);
  return text === '' ? 0 : found < 0 ? tokens.length : found;
}

/** Answers the nth question with the nth recorded answer. */
export function recordedAnswers(recording: Recording, { isInstant, wait = byClock }: PlayOptions): RecordedAnswers {
  let skipping = new AbortController();

  async function* generate(
    prompt: readonly Turn[],
    { signal, continueFinal }: GenerateOptions = {},
  ): AsyncGenerator<RecordedToken, AnswerEnd, void> {
    const turn = recording.turns[prompt.filter(({ role }) => role === 'user').length - 1]!;
    const tokens = tokensOf(turn, recording.shape);
    const from = continueFinal ? tokenAfter(prompt.at(-1)!.content, tokens) : 0;
    skipping = new AbortController();
    const isOver = signal ? AbortSignal.any([signal, skipping.signal]) : skipping.signal;
    for (let t = from; t < tokens.length; t++) {
      const gap = turn.ms[t]! - (turn.ms[t - 1] ?? 0);
      if (!isInstant && !isOver.aborted) await wait(Math.min(gap, LONGEST_GAP_MS), isOver);
      if (signal?.aborted) return { finishReason: 'abort', counts: null };
      yield tokens[t]!;
    }
    // Where the recording was cut there is nothing to go on with: `next.ts` says so.
    return { ...turn.end, finishReason: 'stop', seed: recording.seed, approximations: [] };
  }
  return { plan: { contextLength: Number.POSITIVE_INFINITY }, generate, skip: () => skipping.abort() };
}
