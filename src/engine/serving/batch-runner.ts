/**
 * Computes steps of many sequences on one device: one submit and one small readback a step. Every row goes through the kernels for chunks, whose
 * results for a row do not depend on the others, and through attention over pages: a request gets the bits that it would get alone.
 */
import { subview, wholeBuffer, type BufferView } from '../../gpu/buffer.ts';
import type { Gpu } from '../../gpu/gpu.ts';
import { Readback } from '../../gpu/readback.ts';
import type { Program } from '../../gpu/recording.ts';
import { STEP_BYTES, writeStep } from '../../gpu/step.ts';
import { PAGE_TOKENS, ROW_WORDS, type KvPages } from '../../kernels/attention/pages.ts';
import { readSampled, SAMPLED_WORDS } from '../../kernels/sample/sample.ts';
import { MOST_SAMPLED_BYTES, readTopLogprobs, sampledWords } from '../../kernels/sample/top_logprobs.ts';
import { invariant } from '../../util/assert.ts';
import { sum } from '../../util/math.ts';
import { notFinite } from '../finite.ts';
import type { Forward } from '../forward.ts';
import type { Body } from '../forward/body.ts';
import { routingAt, type LayerRouting } from '../routing.ts';
import type { DrawnToken, DrawParams } from '../session/draw.ts';
import type { Sequence, Stretch } from './scheduler.ts';
import { pageBytes, routingBytes, rowsWords, STEP_STRIDE, vocabStride, type RequestsPlan } from './sizes.ts';
import { Slots, type SeatViews } from './slots.ts';

/** One sequence's part of a step. */
export interface Work extends Stretch {
  /** How its next token is drawn; null where none is. */
  readonly draw: DrawParams | null;
}

/** A token drawn, or why none was. */
export type Draw = DrawnToken | { readonly error: Error };

interface Buffers {
  readonly pages: readonly KvPages[];
  readonly rows: BufferView;
  readonly logits: BufferView; // [in flight, stride of V]
  readonly headStep: BufferView;
  readonly readback: Readback;
}

/** What a `BatchRunner` has on the GPU. */
export interface BatchBuffers {
  readonly plan: RequestsPlan;
  readonly buffers: Buffers;
  readonly seats: readonly SeatViews[];
}

interface Programs {
  readonly body: Body;
  readonly head: Program;
}

export class BatchRunner {
  readonly #gpu: Gpu;
  readonly #forward: Forward;
  readonly #plan: RequestsPlan;
  readonly #buffers: Buffers;
  readonly #slots: Slots;
  /** By adapter; of none under null. */
  readonly #programs: Map<string | null, Programs>;
  /** By seat, the list of pages that is on the GPU, and how many of it. */
  readonly #lists: { readonly pages: readonly number[]; readonly count: number }[] = [];
  readonly #headStep = new ArrayBuffer(STEP_BYTES);

  private constructor(
    gpu: Gpu,
    forward: Forward,
    plan: RequestsPlan,
    parts: { readonly buffers: Buffers; readonly slots: Slots; readonly programs: Programs },
  ) {
    this.#gpu = gpu;
    this.#forward = forward;
    this.#plan = plan;
    this.#buffers = parts.buffers;
    this.#slots = parts.slots;
    this.#programs = new Map([[null, parts.programs]]);
  }

  /** @throws OutOfBudget when the GPU has no room for its buffers */
  static async allocate(gpu: Gpu, forward: Forward, plan: RequestsPlan): Promise<BatchBuffers> {
    const buffers = await gpu.allocating(`keys and values of ${plan.pages} pages`, () => allocate(gpu, forward, plan));
    return { plan, buffers, seats: await Slots.allocate(gpu, forward, plan) };
  }

  static async create(gpu: Gpu, forward: Forward, { plan, buffers, seats }: BatchBuffers): Promise<BatchRunner> {
    const [programs, slots] = await Promise.all([record(forward, buffers), Slots.create(gpu, forward, seats)]);
    return new BatchRunner(gpu, forward, plan, { buffers, slots, programs });
  }

  /** Records every program again: after arenas were replaced. */
  async rerecord(): Promise<void> {
    this.#programs.clear();
    await this.#under(null);
  }

  /** Recorded when a request first names the adapter. */
  async #under(adapter: string | null): Promise<Programs> {
    const programs = this.#programs.get(adapter) ?? (await record(this.#forward, this.#buffers, adapter));
    this.#programs.set(adapter, programs);
    return programs;
  }

  /**
   * One step, of works under one adapter. @returns for each work that draws, in order, what it drew
   * @throws what WebGPU does; the step can be run again
   */
  async run(works: readonly Work[]): Promise<Draw[]> {
    const drawing = works.filter((w) => w.draw !== null);
    const tokens = sum(works.map((w) => w.end - w.begin));
    try {
      const { body, head } = await this.#under(works[0]?.sequence.adapter ?? null);
      this.#writeRows(works, drawing);
      for (const { sequence, draw } of drawing) this.#slots.prepare(sequence, draw!);
      const encoder = this.#gpu.device.createCommandEncoder();
      this.#forward.setStep(tokens, 0);
      body.program.encode(encoder, { tokens, position: 0 });
      if (drawing.length === 0) {
        this.#gpu.submit(encoder.finish());
        await this.#gpu.idle(); // one step in flight, as for a prompt's chunks
        return [];
      }
      this.#encodeDraws(encoder, head, drawing);
      this.#gpu.submit(encoder.finish());
      const bytes = await this.#buffers.readback.read(this.#readBytes(drawing.length));
      this.#gpu.assertAlive();
      return drawing.map(({ draw }, i) => this.#drawnAt(bytes, i, drawing.length, draw!));
    } catch (error) {
      this.#slots.doubt();
      throw error;
    }
  }

  /** Ids, and where each row stands: rows that draw first, so that what is read of them lies together. */
  #writeRows(works: readonly Work[], drawing: readonly Work[]): void {
    for (const { sequence } of works) this.#writeList(sequence);
    const ids: number[] = [];
    const rows: number[] = [];
    const add = ({ tokens, pages, seat }: Sequence, position: number): void => {
      const page = pages[Math.floor(position / PAGE_TOKENS)]!;
      ids.push(tokens[position]!);
      rows.push(position, page * PAGE_TOKENS + (position % PAGE_TOKENS), this.#listAt(seat!), 0);
    };
    for (const { sequence, end } of drawing) add(sequence, end - 1);
    for (const { sequence, begin, end, draw } of works)
      for (let position = begin; position < end - Number(draw !== null); position++) add(sequence, position);
    invariant(ids.length <= this.#forward.plan.prefillChunk, `a step of ${ids.length} rows`);
    this.#gpu.write(this.#forward.ids, Uint32Array.from(ids));
    this.#gpu.write(this.#buffers.rows, Uint32Array.from(rows));
  }

  /** Word at which a seat's list of pages begins. */
  #listAt(seat: number): number {
    return ROW_WORDS * this.#forward.plan.prefillChunk + seat * this.#plan.pagesEach;
  }

  #writeList({ pages, seat }: Sequence): void {
    const there = this.#lists[seat!];
    if (there?.pages === pages && there.count === pages.length) return;
    this.#gpu.write(this.#buffers.rows, Uint32Array.from(pages), 4 * this.#listAt(seat!));
    this.#lists[seat!] = { pages, count: pages.length };
  }

  #encodeDraws(encoder: GPUCommandEncoder, head: Program, drawing: readonly Work[]): void {
    const { logits, headStep, readback } = this.#buffers;
    const { vocab } = this.#forward.config;
    const tokens = drawing.length;
    this.#gpu.write(headStep, new Uint8Array(writeStep(this.#headStep, tokens, 0)));
    head.encode(encoder, { tokens, position: 0 });
    const stride = 4 * vocabStride(vocab);
    drawing.forEach(({ sequence }, i) =>
      this.#slots.takeLogits(encoder, sequence, subview(logits, i * stride, 4 * vocab)),
    );
    for (const { sequence, draw } of drawing) this.#slots.draw(encoder, sequence, draw!);
    drawing.forEach(({ sequence }, i) => readback.encode(encoder, this.#slots.drawn(sequence), i * MOST_SAMPLED_BYTES));
    this.#forEachRouting(tokens, (view, at) => readback.encode(encoder, view, at));
  }

  /** The routing of the first `tokens` rows: where each layer has it, and where it is read to. */
  #forEachRouting(tokens: number, each: (view: BufferView, at: number, layer: number) => void): void {
    const { view, slices } = this.#forward.logs.chunk;
    let at = tokens * MOST_SAMPLED_BYTES;
    for (const { offset, topK, layer } of slices) {
      const size = 8 * topK * tokens;
      each(subview(view, offset, size), at, layer);
      at += size;
    }
  }

  #readBytes(tokens: number): number {
    return tokens * MOST_SAMPLED_BYTES + routingBytes(this.#forward.config, tokens);
  }

  #drawnAt(bytes: ArrayBuffer, i: number, tokens: number, { topLogprobs: top = 0 }: DrawParams): Draw {
    const at = i * MOST_SAMPLED_BYTES;
    const { id, logprob, brokenLogits } = readSampled(new Uint32Array(bytes, at, SAMPLED_WORDS));
    if (brokenLogits > 0) return { error: notFinite(brokenLogits, 'logits') };
    const topLogprobs = readTopLogprobs(new Uint32Array(bytes, at, sampledWords(top)), top, this.#forward.config.vocab);
    const routing = this.#routingAt(bytes, i, tokens);
    return { id, logprob, topLogprobs, routing };
  }

  /** Of one request, in a buffer of its own: one that goes to another thread takes no other's along. */
  #routingAt(bytes: ArrayBuffer, i: number, tokens: number): LayerRouting[] {
    const { slices } = this.#forward.logs.chunk;
    const own = new Uint8Array(routingBytes(this.#forward.config, 1));
    const routing: LayerRouting[] = [];
    let to = 0;
    this.#forEachRouting(tokens, (_, from, layer) => {
      const slice = slices[layer]!;
      const size = 8 * slice.topK;
      own.set(new Uint8Array(bytes, from + size * i, size), to);
      routing.push(routingAt(own.buffer, to, { ...slice, logits: 0 }));
      to += size;
    });
    return routing;
  }

  dispose(): void {
    this.#buffers.readback.dispose();
  }
}

function allocate(gpu: Gpu, { config, plan: { prefillChunk } }: Forward, plan: RequestsPlan): Buffers {
  const make = (label: string, role: 'kv' | 'activations' | 'tables', bytes: number, usage = 0): BufferView =>
    wholeBuffer(gpu.createBuffer(label, role, bytes, usage));
  const rows = make('rows', 'tables', 4 * rowsWords(prefillChunk, plan));
  return {
    rows,
    pages: pageBytes(config).map((bytes, i) => {
      const keys = make(`pages of keys ${i}`, 'kv', plan.pages * bytes.keys);
      const values = bytes.values > 0 ? make(`pages of values ${i}`, 'kv', plan.pages * bytes.values) : keys;
      return { keys, values, rows };
    }),
    logits: make('logits of a step', 'activations', 4 * plan.inFlight * vocabStride(config.vocab)),
    headStep: make('step of the head', 'tables', STEP_STRIDE, GPUBufferUsage.UNIFORM),
    readback: new Readback(gpu, 'tokens of requests', plan.bytes.readback),
  };
}

async function record(
  forward: Forward,
  { pages, logits, headStep }: Buffers,
  adapter: string | null = null,
): Promise<Programs> {
  const [body, head] = await Promise.all([
    forward.body('chunk', { pages, adapter }),
    forward.allLogits(logits, forward.normed, { outRow: vocabStride(forward.config.vocab), step: headStep, adapter }),
  ]);
  return { body, head };
}
