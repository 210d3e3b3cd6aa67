/** Moves weights from a checkpoint into GPU buffers, a few megabytes at a time, quantising on the GPU where the plan says so. */
import { subview, wholeBuffer, type BufferRole, type BufferView } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { Recorder } from '../gpu/recording.ts';
import { STEP_BYTES } from '../gpu/step.ts';
import type { DeviceMatrix } from '../kernels/matrix.ts';
import { sameBlock, type DeviceRouter } from '../kernels/moe/router_block.ts';
import {
  compileQuantize,
  quantize,
  QUANTIZE_PARAMS_BYTES,
  quantizeParams,
  type QuantizeOptions,
} from '../kernels/repack/quantize.ts';
import type { DeviceParts } from '../layers/parts.ts';
import { mapWeights, type ModelWeights } from '../layers/weights.ts';
import type { DeviceExperts } from '../moe/experts.ts';
import { invariant } from '../util/assert.ts';
import { CHUNK, planes, sameLayout, type Layout, type MatrixShape } from '../weights/layout.ts';
import type { NativeRows, PublishedMatrix } from '../weights/matrix.ts';
import type { DenseRecords } from './dense-records.ts';
import type {
  ExpertsSpec,
  MatrixPart,
  MatrixSpec,
  ModelSpec,
  Piece,
  RouterSpec,
  VectorSpec,
} from './describe/specs.ts';
import type { Plan } from './plan.ts';
import { BLOCK_BYTES } from './plan/home.ts';
import type { ExpertHomes } from '../moe/homes.ts';

export type DeviceWeights = ModelWeights<DeviceParts, BufferView, DeviceExperts, DeviceRouter>;

/** A model's buffers, and what fills them. */
export interface PlacedModel {
  readonly weights: DeviceWeights;
  /** Once. @param atExperts called where a layer's experts would be read; their slots are the caller's business */
  readonly fill: (atExperts: (layer: number) => Promise<void>) => Promise<void>;
  /** Asks for every shader that filling takes, experts that are fetched later too. @returns settles when they are compiled */
  readonly compile: () => Promise<void>;
}

/** `writeBuffer` copies; waiting for the queue after this many bytes bounds those copies. */
const IN_FLIGHT_BYTES = 16 * 2 ** 20;

/** A place for one native matrix: its bytes on the GPU, its layout and shape. */
interface Target extends MatrixShape {
  readonly view: BufferView;
  readonly layout: Layout;
}

/** Interleaves the rows of two blocks: a0 b0 a1 b1 ... */
function zipRows(a: Uint32Array, b: Uint32Array, rowWords: number): Uint32Array {
  const out = new Uint32Array(a.length + b.length);
  for (let r = 0; r * rowWords < a.length; r++) {
    out.set(a.subarray(r * rowWords, (r + 1) * rowWords), 2 * r * rowWords);
    out.set(b.subarray(r * rowWords, (r + 1) * rowWords), (2 * r + 1) * rowWords);
  }
  return out;
}

/** Rows [begin, end) in blocks; the next block is on its way while the caller works on this one. */
async function* blocks<T>(
  begin: number,
  end: number,
  size: number,
  read: (row: number, until: number) => Promise<T>,
): AsyncGenerator<{ readonly row: number; readonly until: number; readonly rows: T }> {
  const start = (row: number): Promise<T> => {
    const reading = read(row, Math.min(end, row + size));
    reading.catch(() => undefined); // whoever awaits it sees the error
    return reading;
  };
  let next = begin < end ? start(begin) : null;
  for (let row = begin; next; row += size) {
    const rows: T = await next;
    const until = Math.min(end, row + size);
    next = until < end ? start(until) : null;
    yield { row, until, rows };
  }
}

const floatsOf = (published: PublishedMatrix): PublishedMatrix => published.floats ?? published;

function quantizeOptions({ layout, rows }: Omit<Target, 'view'>, published: PublishedMatrix): QuantizeOptions {
  const source = floatsOf(published);
  const from = source.layout.kind;
  invariant(from === 'bf16' || from === 'f16' || from === 'f32', `cannot quantise ${from} rows on load`);
  const { valueRowWords, chunks } = planes(source.layout, source);
  const cols = chunks * CHUNK; // rows arrive padded with zeros, which quantise to zero
  return {
    from,
    layout,
    shape: { rows, cols },
    maxRows: Math.max(1, Math.floor(BLOCK_BYTES / (valueRowWords * 4))),
  };
}

interface Quantizer {
  readonly staging: GPUBuffer;
  readonly params: GPUBuffer;
  readonly step: GPUBuffer;
}

export class Uploader {
  readonly #gpu: Gpu;
  readonly #signal: AbortSignal | undefined;
  readonly #onBytes: (stored: number, file: string) => void;
  readonly #dense: Pick<DenseRecords, 'restore'> | null;
  #inFlight = 0;
  #quantizer: Promise<Quantizer> | undefined;

  /**
   * @param onBytes called with the number of checkpoint bytes each block used up, and the file that they are counted to
   * @param dense what an earlier session kept of everything outside the experts
   */
  constructor(
    gpu: Gpu,
    onBytes: (stored: number, file: string) => void,
    signal?: AbortSignal,
    dense: Pick<DenseRecords, 'restore'> | null = null,
  ) {
    this.#gpu = gpu;
    this.#dense = dense;
    this.#onBytes = onBytes;
    this.#signal = signal;
  }

  /** Everything but experts, in the order of the forward pass, which is how most files are ordered. */
  async model(
    spec: ModelSpec,
    plan: Plan,
    homes: ExpertHomes,
    atExperts: (layer: number) => Promise<void>,
  ): Promise<DeviceWeights> {
    const { weights, fill } = await this.place(spec, plan, homes);
    await fill(atExperts);
    return weights;
  }

  /** Makes the buffers of everything but experts: programs that read them can be recorded before there is anything in them. */
  async place(spec: ModelSpec, plan: Plan, homes: ExpertHomes): Promise<PlacedModel> {
    const fills: ((atExperts: (layer: number) => Promise<void>) => Promise<void>)[] = [];
    let layer = 0;
    const routers = await this.#routers(spec, plan);
    let routed = 0;
    const conversions: (readonly [target: Omit<Target, 'view'>, source: PublishedMatrix])[] = [];
    const weights = await mapWeights(spec, {
      matrix: async (m: MatrixSpec) => {
        const parts = await this.#placeMatrix(m);
        for (const part of m.parts) for (const { source } of part.pieces) conversions.push([part, source]);
        fills.push(() => this.#fillMatrix(m, parts));
        return parts;
      },
      vector: async (v: VectorSpec) => {
        const view = await this.#allocate(v.label, 4 * v.length);
        fills.push(() => this.#fillVector(v, view));
        return view;
      },
      experts: async (x: ExpertsSpec) => {
        const at = layer++;
        const { gate, up, down } = x.matrices(0);
        const gateUp = { layout: x.slot.gateUp, rows: 2 * gate.rows, cols: gate.cols };
        conversions.push([gateUp, gate], [gateUp, up], [{ ...down, layout: x.slot.down }, down]);
        fills.push((atExperts) => atExperts(at));
        return homes.layer(at);
      },
      router: async (r: RouterSpec) => {
        const place = routers[routed++]!;
        for (const { source } of r.matrix.pieces) conversions.push([r.matrix, source]);
        fills.push(() => this.fillRouter(r, place));
        return place;
      },
    });
    const fill: PlacedModel['fill'] = async (atExperts) => {
      for (const next of fills) await next(atExperts);
      await this.#gpu.idle();
    };
    const compile: PlacedModel['compile'] = async () => {
      const needed = conversions.filter(([target, source]) => !sameLayout(source.layout, target.layout));
      await Promise.all(needed.map(([to, from]) => compileQuantize(this.#gpu, from.name, quantizeOptions(to, from))));
    };
    return { weights, fill, compile };
  }

  async #allocate(label: string, bytes: number, role: BufferRole = 'weights'): Promise<BufferView> {
    const buffer = await this.#gpu.allocating(`${label} (${bytes} bytes)`, () =>
      this.#gpu.createBuffer(label, role, bytes),
    );
    return wholeBuffer(buffer);
  }

  /** A matrix by itself. */
  async matrix(spec: MatrixSpec, role: BufferRole): Promise<DeviceParts> {
    const parts = await this.#placeMatrix(spec, role);
    await this.#fillMatrix(spec, parts);
    return parts;
  }

  async #placeMatrix(spec: MatrixSpec, role: BufferRole = 'weights'): Promise<DeviceParts> {
    const parts: { firstRow: number; matrix: DeviceMatrix }[] = [];
    for (const part of spec.parts) {
      const { rows, cols, layout, firstRow } = part;
      const view = await this.#allocate(spec.label, planes(layout, part).bytes, role);
      parts.push({ firstRow, matrix: { view, rows, cols, layout } });
    }
    return { rows: spec.rows, cols: spec.cols, parts };
  }

  async #fillMatrix(spec: MatrixSpec, { parts }: DeviceParts): Promise<void> {
    for (const [i, part] of spec.parts.entries()) {
      const { matrix } = parts[i]!;
      if (await this.#dense?.restore(matrix.view)) {
        for (const { source, begin, end } of part.pieces) this.#count(source, end - begin);
      } else await this.#fill(matrix, part, this.#signal);
    }
  }

  async #fillVector(spec: VectorSpec, view: BufferView): Promise<void> {
    if (!(await this.#dense?.restore(view))) this.#gpu.write(view, await spec.load(this.#signal));
  }

  /** A place for each MoE layer's router block. */
  async #routers(spec: ModelSpec, plan: Plan): Promise<DeviceRouter[]> {
    const blocks = spec.layers.flatMap(({ ffn }) => (ffn.kind === 'moe' ? [ffn.router.block] : []));
    const places: DeviceRouter[] = [];
    for (const { layers, bytes } of plan.routers) {
      const buffer = await this.#allocate('routers', bytes);
      let at = 0;
      for (const layer of layers) {
        const block = blocks[layer]!;
        const hasTwin = layers.includes(layer + 1) && sameBlock(block, blocks[layer + 1]!);
        places.push({
          block,
          view: subview(buffer, at, block.bytes),
          withNext: hasTwin ? subview(buffer, at, 2 * block.bytes) : null,
        });
        at += block.bytes;
      }
    }
    return places;
  }

  async fillRouter({ matrix, vectors }: RouterSpec, place: DeviceRouter): Promise<void> {
    if (await this.#dense?.restore(place.view)) {
      for (const { source, begin, end } of matrix.pieces) this.#count(source, end - begin);
      return;
    }
    const { layout, rows, cols } = matrix;
    const view = subview(place.view, 0, planes(layout, matrix).bytes);
    await this.#fill({ view, layout, rows, cols }, matrix, this.#signal);
    for (const { at, vector } of vectors) this.#write(place.view, at, await vector.load(this.#signal));
  }

  /** Counts an expert that came from elsewhere. */
  countExpert({ matrices }: ExpertsSpec, e: number): void {
    for (const m of Object.values(matrices(e))) this.#count(m, m.rows);
  }

  /** Fills one slot with one expert. */
  async expert(
    { slot, matrices, bias }: ExpertsSpec,
    e: number,
    home: BufferView,
    signal = this.#signal,
  ): Promise<void> {
    const { gate, up, down } = matrices(e);
    const at = (offset: number, layout: Layout, shape: MatrixShape): Target => ({
      ...shape,
      layout,
      view: subview(home, offset, planes(layout, shape).bytes),
    });
    const half = (source: Piece['source'], target: number): Piece => ({
      source,
      begin: 0,
      end: source.rows,
      target,
      stride: 2,
    });
    const gateUp = at(slot.gateUpAt, slot.gateUp, { rows: 2 * gate.rows, cols: gate.cols });
    await this.#fill(gateUp, { pieces: [half(gate, 0), half(up, 1)] }, signal);
    const whole = at(slot.downAt, slot.down, down);
    await this.#fill(whole, { pieces: [{ source: down, begin: 0, end: down.rows, target: 0, stride: 1 }] }, signal);
    if (bias) {
      const values = await bias(e, signal);
      invariant(slot.bias, 'a slot without room for its biases');
      this.#write(home, slot.gateUpBiasAt, values.gateUp);
      this.#write(home, slot.downBiasAt, values.down);
    }
  }

  async #fill(target: Target, { pieces }: Pick<MatrixPart, 'pieces'>, signal: AbortSignal | undefined): Promise<void> {
    const [first, second] = pieces;
    if (!sameLayout(first!.source.layout, target.layout)) {
      for (const piece of pieces) await this.#quantize(target, piece, signal);
    } else if (second && first!.stride === 2) await this.#zip(target, first!, second, signal);
    else for (const piece of pieces) await this.#copy(target, piece, signal);
  }

  #blockRows(target: Target): number {
    return Math.max(1, Math.floor(BLOCK_BYTES / (planes(target.layout, target).valueRowWords * 4)));
  }

  async #copy(target: Target, { source, begin, end, target: to }: Piece, signal?: AbortSignal): Promise<void> {
    const read = (row: number, until: number): Promise<NativeRows> => source.read(row, until, signal);
    for await (const { row, until, rows } of blocks(begin, end, this.#blockRows(target), read)) {
      await this.#place(target, to + row - begin, rows, signal);
      this.#count(source, until - row);
    }
  }

  async #zip(target: Target, a: Piece, b: Piece, signal?: AbortSignal): Promise<void> {
    const p = planes(target.layout, target);
    const read = async (row: number, until: number): Promise<[NativeRows, NativeRows]> => [
      await a.source.read(row, until, signal),
      await b.source.read(row, until, signal),
    ];
    for await (const {
      row,
      until,
      rows: [x, y],
    } of blocks(0, a.end, this.#blockRows(target), read)) {
      await this.#place(
        target,
        2 * row,
        {
          values: zipRows(x.values, y.values, p.valueRowWords),
          scales: zipRows(x.scales, y.scales, p.scaleRowWords),
          zeros: zipRows(x.zeros, y.zeros, p.zeroRowWords),
        },
        signal,
      );
      this.#count(a.source, until - row);
      this.#count(b.source, until - row);
    }
  }

  #count(source: Piece['source'], rows: number): void {
    this.#onBytes((source.storedBytes * rows) / source.rows, source.file);
  }

  async #place(target: Target, row: number, rows: NativeRows, signal?: AbortSignal): Promise<void> {
    const p = planes(target.layout, target);
    this.#write(target.view, row * p.valueRowWords * 4, rows.values);
    if (rows.scales.length) this.#write(target.view, p.scalesAt + row * p.scaleRowWords * 4, rows.scales);
    if (rows.zeros.length) this.#write(target.view, p.zerosAt + row * p.zeroRowWords * 4, rows.zeros);
    await this.#throttle(signal);
  }

  #write(view: BufferView, at: number, data: Uint32Array | Float32Array): void {
    this.#gpu.write(view, data, at);
    this.#inFlight += data.byteLength;
  }

  async #throttle(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.#inFlight < IN_FLIGHT_BYTES) return;
    await this.#gpu.idle();
    this.#inFlight = 0;
  }

  /** Raw float rows go to a staging buffer; a kernel turns them into native rows in place. */
  async #quantize(
    target: Target,
    { source: published, begin, end, target: to, stride }: Piece,
    signal?: AbortSignal,
  ): Promise<void> {
    const source = floatsOf(published);
    const gpu = this.#gpu;
    const { staging, params, step } = await (this.#quantizer ??= this.#makeQuantizer());
    const options = quantizeOptions(target, published);
    const { maxRows: block } = options;
    const recorder = new Recorder(gpu, wholeBuffer(step));
    quantize(
      recorder,
      `quantise ${source.name}`,
      { source: wholeBuffer(staging), target: target.view, params: wholeBuffer(params) },
      options,
    );
    const compiling = recorder.finish(); // the first block is on its way meanwhile
    compiling.catch(() => undefined);
    const read = (row: number, until: number): Promise<NativeRows> => source.read(row, until, signal);
    for await (const { row, until, rows } of blocks(begin, end, block, read)) {
      const program = await compiling;
      this.#write(wholeBuffer(staging), 0, rows.values);
      this.#write(
        wholeBuffer(params),
        0,
        quantizeParams({ rows: until - row, firstRow: to + (row - begin) * stride, rowStride: stride }),
      );
      const encoder = gpu.device.createCommandEncoder();
      program.encode(encoder, { tokens: until - row, position: 0 });
      gpu.submit(encoder.finish());
      this.#count(source, until - row);
      await this.#throttle(signal);
    }
  }

  async #makeQuantizer(): Promise<Quantizer> {
    const gpu = this.#gpu;
    try {
      return await gpu.allocating('quantising', () => ({
        staging: gpu.createBuffer('quantise staging', 'staging', 2 * BLOCK_BYTES),
        params: gpu.createBuffer('quantise params', 'staging', QUANTIZE_PARAMS_BYTES),
        step: gpu.createBuffer('quantise step', 'staging', STEP_BYTES, GPUBufferUsage.UNIFORM),
      }));
    } catch (error) {
      this.#quantizer = undefined; // there may be room the next time
      throw error;
    }
  }

  /** Gives back what quantising took; it comes again when needed. */
  async release(): Promise<void> {
    const made = await this.#quantizer;
    this.#quantizer = undefined;
    for (const buffer of made ? Object.values<GPUBuffer>({ ...made }) : []) this.#gpu.destroyBuffer(buffer);
  }
}
