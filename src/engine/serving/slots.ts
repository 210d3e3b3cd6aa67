/** What the GPU holds of each request that runs, beside its pages: logits, token counts, bias, mask, what was drawn. By seat. */
import { subview, wholeBuffer, type BufferView } from '../../gpu/buffer.ts';
import type { Gpu } from '../../gpu/gpu.ts';
import type { Program } from '../../gpu/recording.ts';
import { STEP_BYTES, writeStep } from '../../gpu/step.ts';
import { promptCounts, raisedCount, sample, tokenSetWords } from '../../kernels/sample/sample.ts';
import { MOST_SAMPLED_BYTES, topLogprobs } from '../../kernels/sample/top_logprobs.ts';
import type { Forward } from '../forward.ts';
import type { DrawParams } from '../session/draw.ts';
import type { Sequence } from './scheduler.ts';
import { DRAWN_STRIDE, NEXT_ID_AT, STEP_STRIDE, tokenSetStride, vocabStride, type RequestsPlan } from './sizes.ts';

export interface SeatViews {
  readonly logits: BufferView; // [V]
  readonly counts: BufferView; // [V]
  readonly bias: BufferView; // [V]
  readonly allowed: BufferView;
  readonly drawn: BufferView;
  readonly step: BufferView;
}

interface Seat extends SeatViews {
  readonly programs: { readonly plain: Program; readonly limited: Program; readonly top: Program };
  /** Whose counts are on the GPU, and what its bias and mask were written from. */
  sequence: Sequence | null;
  biasOnGpu: DrawParams['bias'];
  allowedOnGpu: DrawParams['allowed'];
}

/** The counts that penalties read: see kernels/sample. */
function countsOf({ tokens, prompt }: Sequence, vocab: number): Uint32Array<ArrayBuffer> {
  const counts = promptCounts(tokens.slice(0, prompt), vocab);
  for (const id of tokens.slice(prompt)) counts[id] = raisedCount(counts[id]!);
  return counts;
}

export class Slots {
  readonly #gpu: Gpu;
  readonly #vocab: number;
  readonly #seats: readonly Seat[];
  readonly #stepBytes = new ArrayBuffer(STEP_BYTES);

  private constructor(gpu: Gpu, vocab: number, seats: readonly Seat[]) {
    this.#gpu = gpu;
    this.#vocab = vocab;
    this.#seats = seats;
  }

  /** @throws OutOfBudget when the GPU has no room for them */
  static async allocate(gpu: Gpu, forward: Forward, { inFlight }: RequestsPlan): Promise<SeatViews[]> {
    const { vocab } = forward.config;
    const [row, set] = [4 * vocabStride(vocab), 4 * tokenSetStride(vocab)];
    const make = (label: string, role: 'activations' | 'tables', bytes: number, usage = 0): BufferView =>
      wholeBuffer(gpu.createBuffer(`${label} of requests`, role, inFlight * bytes, usage));
    const buffers = await gpu.allocating('several requests at once', () => ({
      logits: make('logits', 'activations', row),
      drawn: make('draws', 'activations', DRAWN_STRIDE),
      counts: make('token counts', 'tables', row),
      bias: make('biases', 'tables', row),
      allowed: make('allowed tokens', 'tables', set),
      steps: make('steps', 'tables', STEP_STRIDE, GPUBufferUsage.UNIFORM),
    }));
    return Array.from({ length: inFlight }, (_, seat) => ({
      logits: subview(buffers.logits, seat * row, 4 * vocab),
      counts: subview(buffers.counts, seat * row, 4 * vocab),
      bias: subview(buffers.bias, seat * row, 4 * vocab),
      allowed: subview(buffers.allowed, seat * set, 4 * tokenSetWords(vocab)),
      drawn: subview(buffers.drawn, seat * DRAWN_STRIDE, DRAWN_STRIDE),
      step: subview(buffers.steps, seat * STEP_STRIDE, STEP_BYTES),
    }));
  }

  static async create(gpu: Gpu, forward: Forward, places: readonly SeatViews[]): Promise<Slots> {
    const seats = places.map(async (views): Promise<Seat> => {
      const programs = await programsOf(forward, views);
      return { ...views, programs, sequence: null, biasOnGpu: null, allowedOnGpu: null };
    });
    return new Slots(gpu, forward.config.vocab, await Promise.all(seats));
  }

  /** Brings to the GPU what the next draw of a sequence needs and is not there. */
  prepare(sequence: Sequence, draw: DrawParams): void {
    const seat = this.#seats[sequence.seat!]!;
    if (seat.sequence !== sequence) {
      this.#gpu.write(seat.counts, countsOf(sequence, this.#vocab));
      Object.assign(seat, { sequence, biasOnGpu: null, allowedOnGpu: null });
    }
    const { bias = null, allowed = null } = draw;
    if (bias && bias !== seat.biasOnGpu) this.#gpu.write(seat.bias, (seat.biasOnGpu = bias));
    if (allowed && allowed !== seat.allowedOnGpu) this.#gpu.write(seat.allowed, (seat.allowedOnGpu = allowed));
    const options = { ...draw, isBiased: bias !== null, isMasked: allowed !== null };
    // Its last token at its place: random numbers are those that the sequence gets alone.
    writeStep(this.#stepBytes, 1, sequence.tokens.length - 1, options);
    this.#gpu.write(seat.step, new Uint8Array(this.#stepBytes));
  }

  /** @param logits [V] after the sequence's last token */
  takeLogits(encoder: GPUCommandEncoder, { seat }: Sequence, logits: BufferView): void {
    const to = this.#seats[seat!]!.logits;
    encoder.copyBufferToBuffer(logits.buffer, logits.offset, to.buffer, to.offset, to.size);
  }

  draw(
    encoder: GPUCommandEncoder,
    { seat, tokens }: Sequence,
    { bias, allowed, topLogprobs: top = 0 }: DrawParams,
  ): void {
    const { programs } = this.#seats[seat!]!;
    const shape = { tokens: 1, position: tokens.length - 1 };
    (bias || allowed ? programs.limited : programs.plain).encode(encoder, shape);
    if (top > 0) programs.top.encode(encoder, shape);
  }

  /** What was drawn: MOST_SAMPLED_BYTES. */
  drawn({ seat }: Sequence): BufferView {
    return subview(this.#seats[seat!]!.drawn, 0, MOST_SAMPLED_BYTES);
  }

  /** The step did not count: what it changed is written anew. */
  doubt(): void {
    for (const seat of this.#seats) seat.sequence = null;
  }
}

async function programsOf(
  forward: Forward,
  { logits, counts, bias, allowed, drawn, step }: SeatViews,
): Promise<Seat['programs']> {
  const { vocab } = forward.config;
  const sampled = subview(drawn, 0, MOST_SAMPLED_BYTES);
  const nextIds = subview(drawn, NEXT_ID_AT, 4);
  const sampler = (limits?: { bias: BufferView; allowed: BufferView }): Promise<Program> => {
    const r = forward.recorder(step);
    sample(r, 'sample', { logits, counts, sampled, nextIds, limits }, { vocab });
    return r.finish();
  };
  const named = forward.recorder(step);
  topLogprobs(named, 'top log-probabilities', { logits, sampled }, { vocab });
  const [plain, limited, top] = await Promise.all([sampler(), sampler({ bias, allowed }), named.finish()]);
  return { plain, limited, top };
}
