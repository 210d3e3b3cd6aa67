import type { BufferView } from '../../gpu/buffer.ts';
import type { Recorder } from '../../gpu/recording.ts';
import type { Constants } from '../../gpu/shader.ts';
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

export interface SampleLimits {
  readonly bias: BufferView; // [V] f32, read by steps with `isBiased`: added to the logits before penalties
  readonly allowed: BufferView; // [tokenSetWords], read by steps with `isMasked`: the tokens that may be drawn
}

/** What is only read must lie in other GPUBuffers than the three that are written. */
export interface Sample {
  readonly logits: BufferView; // [V]
  readonly counts: BufferView; // [V], from promptCounts; the chosen token's is raised
  readonly sampled: BufferView; // [SAMPLED_WORDS]
  readonly nextIds: BufferView; // [1 or more]; the first becomes the id
  /** Of draws that obey them; without, a step must not ask for either. */
  readonly limits?: SampleLimits | undefined;
}

/**
 * Chooses the token at position `position + tokens` of the sequence, by the SamplingParams and DrawOptions in the step uniform: one workgroup, nothing
 * that depends on a request but that uniform. Limits are a pipeline of their own: as a flag they took a greedy draw of
 * V = 152,064 from 45 to 80 ms on SwiftShader.
 */
export function sample(recorder: Recorder, label: string, io: Sample, shape: { readonly vocab: number }): void {
  recorder.dispatch({
    shader: 'sample/sample',
    label,
    constants: { ...vocabulary(shape.vocab), ROWS: false, LIMITED: io.limits !== undefined },
    bindings: {
      logits: io.logits,
      counts: io.counts,
      sampled: io.sampled,
      next_ids: io.nextIds,
      ...io.limits,
    },
    grid: ({ tokens }) => [tokens > 0 ? 1 : 0, 1, 1],
  });
}

function vocabulary(vocab: number): Constants {
  invariant(Number.isInteger(vocab) && vocab >= 1 && vocab <= 2 ** 24, `a vocabulary of ${vocab}`); // counts are summed in f32
  let idDigits = 0;
  while (16 ** idDigits < vocab) idDigits++;
  return { V: vocab, ID_DIGITS: idDigits };
}

/** `sampled` must lie in another GPUBuffer than the others. */
export interface SampleRows {
  readonly logits: BufferView; // [T, V]
  readonly ids: BufferView; // [T], the step's tokens
  readonly counts: BufferView; // [V], as they were before the step
  readonly sampled: BufferView; // [T, SAMPLED_WORDS]
}

/**
 * Chooses the token after each one of the step, each as `sample` would if those before it had come out as the step's own tokens: row t counts them in,
 * and its random number is that of position `position + t + 1`. Neither counts nor ids change.
 */
export function sampleRows(recorder: Recorder, label: string, io: SampleRows, shape: { readonly vocab: number }): void {
  recorder.dispatch({
    shader: 'sample/sample',
    label,
    constants: { ...vocabulary(shape.vocab), ROWS: true, LIMITED: false },
    bindings: { logits: io.logits, ids: io.ids, counts: io.counts, sampled: io.sampled },
    grid: ({ tokens }) => [tokens, 1, 1],
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
