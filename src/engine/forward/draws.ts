/** Draws tokens from logits: what a draw reads and leaves, and the programs that do it. */
import { wholeBuffer, type BufferView } from '../../gpu/buffer.ts';
import type { Gpu } from '../../gpu/gpu.ts';
import { Recorder, type Program } from '../../gpu/recording.ts';
import { sample, sampleRows, tokenSetWords } from '../../kernels/sample/sample.ts';
import { MOST_SAMPLED_BYTES, topLogprobs } from '../../kernels/sample/top_logprobs.ts';

export interface DrawIo {
  readonly logits: BufferView; // [T, V]
  /** Of the step that runs next. */
  readonly ids: BufferView; // [T]
  readonly vocab: number;
}

export class Draws {
  readonly #gpu: Gpu;
  readonly #io: DrawIo;
  readonly #step: BufferView;
  /** [V] token counts for the penalties: see kernels/sample. */
  readonly tokenCounts: BufferView;
  /** The last draw: id, log-probability; behind them the likeliest tokens, where the step asks for them. */
  readonly sampled: BufferView;
  /** [V] f32, for steps with `isBiased`. */
  readonly bias: BufferView;
  /** The tokens that may be drawn, for steps with `isMasked`: see kernels/sample. */
  readonly allowed: BufferView;

  /** @param step the uniform that draws read */
  constructor(gpu: Gpu, io: DrawIo, step: BufferView) {
    this.#gpu = gpu;
    this.#io = io;
    this.#step = step;
    const table = (label: string, bytes: number): BufferView => wholeBuffer(gpu.createBuffer(label, 'tables', bytes));
    this.tokenCounts = table('token counts', 4 * io.vocab);
    this.sampled = wholeBuffer(gpu.createBuffer('sampled', 'activations', MOST_SAMPLED_BYTES));
    this.bias = table('bias', 4 * io.vocab);
    this.allowed = table('allowed tokens', 4 * tokenSetWords(io.vocab));
  }

  /**
   * Draws a token from `logits`; it becomes the first id of the next step.
   * @param isLimited for steps with `isBiased` or `isMasked`
   */
  one(isLimited: boolean): Promise<Program> {
    const { logits, ids: nextIds, vocab } = this.#io;
    const { tokenCounts: counts, sampled, bias, allowed } = this;
    const io = { logits, counts, sampled, nextIds, limits: isLimited ? { bias, allowed } : undefined };
    return this.#recorded((r) => sample(r, 'sample', io, { vocab }));
  }

  /** Draws a token after each one of a step of a few, into `sampled` [T, SAMPLED_WORDS]; nothing else changes. */
  few(): Promise<Program> {
    const { logits, ids, vocab } = this.#io;
    const io = { logits, ids, counts: this.tokenCounts, sampled: this.sampled };
    return this.#recorded((r) => sampleRows(r, 'sample', io, { vocab }));
  }

  /** Names the likeliest tokens behind the one drawn; comes after `one`, for steps that ask. */
  topLogprobs(): Promise<Program> {
    const { logits, vocab } = this.#io;
    return this.#recorded((r) => topLogprobs(r, 'top log-probabilities', { logits, sampled: this.sampled }, { vocab }));
  }

  #recorded(record: (r: Recorder) => void): Promise<Program> {
    const r = new Recorder(this.#gpu, this.#step);
    record(r);
    return r.finish();
  }
}
