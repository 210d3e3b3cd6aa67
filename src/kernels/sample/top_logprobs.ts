import { subview, type BufferView } from '../../gpu/buffer.ts';
import type { Recorder } from '../../gpu/recording.ts';
import { invariant } from '../../util/assert.ts';
import { SAMPLED_WORDS } from './sample.ts';

/** Most tokens that a step may name. */
export const MAX_TOP_LOGPROBS = 20;

/** Words of `sampled` when `n` tokens are named: those of sample/sample, then id and f32 bits of the log-probability by rank. */
export const sampledWords = (n: number): number => SAMPLED_WORDS + 2 * n;

/** Bytes of `sampled` with as many as may be asked for. */
export const MOST_SAMPLED_BYTES = 4 * sampledWords(MAX_TOP_LOGPROBS);

export interface TopLogprobs {
  readonly logits: BufferView; // [V]
  readonly sampled: BufferView; // [sampledWords(MAX_TOP_LOGPROBS)], of which sample/sample wrote the first
}

/** Names the likeliest tokens of the step, as many as its DrawOptions ask for. Comes after sample/sample, in a dispatch of its own. */
export function topLogprobs(
  recorder: Recorder,
  label: string,
  io: TopLogprobs,
  shape: { readonly vocab: number },
): void {
  const { vocab } = shape;
  invariant(Number.isInteger(vocab) && vocab >= 1 && vocab <= 2 ** 24, `a vocabulary of ${vocab}`);
  recorder.dispatch({
    shader: 'sample/top_logprobs',
    label,
    constants: { V: vocab, ROWS: false },
    bindings: { logits: io.logits, sampled: subview(io.sampled, 0, MOST_SAMPLED_BYTES) },
    grid: ({ tokens }) => [tokens > 0 ? 1 : 0, 1, 1],
  });
}

export interface RankedToken {
  readonly id: number;
  /** Natural logarithm of the softmax of the logits as the model gave them. */
  readonly logprob: number;
}

/** @param words at least `sampledWords(n)`; a vocabulary of fewer than n tokens gives all of them */
export function readTopLogprobs(words: Uint32Array<ArrayBuffer>, n: number, vocab: number): RankedToken[] {
  const values = new Float32Array(words.buffer, words.byteOffset, words.length);
  return Array.from({ length: Math.min(n, vocab) }, (_, rank) => {
    const at = sampledWords(rank);
    return { id: words[at]!, logprob: values[at + 1]! };
  });
}
