import type { BufferView } from '../../gpu/buffer.ts';
import type { Recorder } from '../../gpu/recording.ts';
import { invariant } from '../../util/assert.ts';

/** Words of `sampled`: id, f32 bits of its log probability, f32 bits of log sum exp(l - max l), how many logits were NaN or +inf. */
export const SAMPLED_WORDS = 4;

/** Mark of a token that the prompt contains; the low 16 bits of a word of `counts` say how often the token was generated. */
export const SEEN_IN_PROMPT = 0x80000000;

/** What to write into `counts` [V] when a request begins: nothing generated, the prompt's tokens marked. */
export function promptCounts(ids: Iterable<number>, vocab: number): Uint32Array<ArrayBuffer> {
  const counts = new Uint32Array(vocab);
  for (const id of ids) {
    invariant(Number.isInteger(id) && id >= 0 && id < vocab, `token ${id} of a vocabulary of ${vocab}`);
    counts[id] = SEEN_IN_PROMPT;
  }
  return counts;
}

/** A token's word of `counts` after it was generated once more: the kernel does the same. */
export const raisedCount = (word: number): number => ((word & 0xffff) < 0xffff ? word + 1 : word);

/** Words of a set of tokens: bit id % 32 of word id / 32. */
export const tokenSetWords = (vocab: number): number => Math.ceil(vocab / 32);

/** What is only read must lie in other GPUBuffers than the three that are written. */
export interface Sample {
  readonly logits: BufferView; // [V]
  readonly counts: BufferView; // [V], from promptCounts; the chosen token's is raised
  readonly sampled: BufferView; // [SAMPLED_WORDS]
  readonly nextIds: BufferView; // [1 or more]; the first becomes the id
  readonly bias: BufferView; // [V] f32, read by steps with `isBiased`: added to the logits before penalties
  readonly allowed: BufferView; // [tokenSetWords], read by steps with `isMasked`: the tokens that may be drawn
}

/**
 * Chooses the token at position `position + tokens` of the sequence, by the SamplingParams and DrawOptions in the step uniform: one workgroup,
 * nothing recorded depends on a request. Bias and mask are a flag there, not a pipeline of their own: that would be compiled for every model, while the
 * flag is a uniform branch a logit.
 */
export function sample(recorder: Recorder, label: string, io: Sample, shape: { readonly vocab: number }): void {
  const { vocab } = shape;
  invariant(Number.isInteger(vocab) && vocab >= 1 && vocab <= 2 ** 24, `a vocabulary of ${vocab}`); // counts are summed in f32
  let idDigits = 0;
  while (16 ** idDigits < vocab) idDigits++;
  recorder.dispatch({
    shader: 'sample/sample',
    label,
    constants: { V: vocab, ID_DIGITS: idDigits },
    bindings: {
      logits: io.logits,
      counts: io.counts,
      sampled: io.sampled,
      next_ids: io.nextIds,
      bias: io.bias,
      allowed: io.allowed,
    },
    grid: ({ tokens }) => [tokens > 0 ? 1 : 0, 1, 1],
  });
}

export interface SampledToken {
  readonly id: number;
  /** Natural logarithm of the softmax of the logits as the model gave them. */
  readonly logprob: number;
  /** NaN or +inf among the logits; anything but 0 means that the numbers went wrong. */
  readonly brokenLogits: number;
}

/** @param words the SAMPLED_WORDS that the kernel wrote */
export function readSampled(words: Uint32Array<ArrayBuffer>): SampledToken {
  const logprob = new Float32Array(words.buffer, words.byteOffset + 4, 1)[0]!;
  return { id: words[0]!, logprob, brokenLogits: words[3]! };
}
