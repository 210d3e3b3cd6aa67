/** Puts adapters that requests choose on the GPU, beside the weights that they share. Programs for one are recorded when a request first names it. */
import { subview, wholeBuffer, type BufferView } from '../../gpu/buffer.ts';
import type { Gpu } from '../../gpu/gpu.ts';
import type { DeviceMatrix } from '../../kernels/matrix.ts';
import { UNCHANGED } from '../../kernels/moe/low_rank.ts';
import type { DeviceRouter } from '../../kernels/moe/router_block.ts';
import type { DeviceParts, LowRankParts } from '../../layers/parts.ts';
import { mapWeights, type ModelWeights } from '../../layers/weights.ts';
import type { DeviceExperts, ExpertMapsOnDevice, LowRankExperts } from '../../moe/experts.ts';
import { invariant } from '../../util/assert.ts';
import { CHUNK, planes } from '../../weights/layout.ts';
import type { ExpertsSpec, MatrixSpec, ModelSpec, RouterSpec } from '../describe/specs.ts';
import { Uploader, type DeviceWeights } from '../upload.ts';
import type { BoundAdapter, BoundExperts, MapRows, Stretch } from './bind.ts';
import { expertMapValues, F32, pairWidth, rankOf, scratchBytes, type AdapterRoom } from './sizes.ts';

/** Rows padded to whole chunks, as the layout has them. */
function paddedRows(values: Float32Array, rows: number, cols: number): Float32Array<ArrayBuffer> {
  const row = planes(F32, { rows, cols }).chunks * CHUNK;
  const out = new Float32Array(rows * row);
  for (let r = 0; r < rows; r++) out.set(values.subarray(r * cols, (r + 1) * cols), r * row);
  return out;
}

/** A of all stretches one below the other; B with each stretch's columns beside those of the others. */
async function joinedMaps(
  { rows, cols }: MatrixSpec,
  stretches: readonly Stretch[],
  signal: AbortSignal | undefined,
): Promise<{ readonly down: Float32Array; readonly up: Float32Array }> {
  const rank = rankOf(stretches);
  const down = new Float32Array(rank * cols);
  const up = new Float32Array(rows * rank);
  let at = 0;
  for (const { map, begin, end, target, stride } of stretches) {
    down.set(await map.down(signal), at * cols);
    const b = await map.up(begin, end, signal);
    for (let row = 0; row < end - begin; row++)
      for (let r = 0; r < map.rank; r++)
        up[(target + row * stride) * rank + at + r] = map.scale * b[row * map.rank + r]!;
    at += map.rank;
  }
  return { down, up };
}

/** An expert's halves of a matrix with one A, or two, in the order of its products: A [halves * rank, K] and B [rank, halves * rows], columns first. */
async function expertMaps(
  halves: readonly (MapRows | null)[],
  { rank, rows, cols }: { readonly rank: number; readonly rows: number; readonly cols: number },
  signal: AbortSignal | undefined,
): Promise<{ readonly a: Float32Array<ArrayBuffer>; readonly b: Float32Array<ArrayBuffer> }> {
  const a = new Float32Array(halves.length * rank * cols);
  const b = new Float32Array(halves.length * rank * rows);
  for (const [half, found] of halves.entries()) {
    if (!found) continue;
    const { map, begin, end } = found;
    a.set(await map.down(signal), half * rank * cols);
    const up = await map.up(begin, end, signal);
    for (let row = 0; row < end - begin; row++)
      for (let r = 0; r < map.rank; r++)
        b[(r * halves.length + half) * rows + row] = map.scale * up[row * map.rank + r]!;
  }
  return { a, b };
}

class AdapterUpload {
  readonly #gpu: Gpu;
  readonly #scratch: LowRankParts['scratch'];
  readonly #signal: AbortSignal | undefined;
  readonly #uploader: Uploader;

  constructor(gpu: Gpu, bound: readonly BoundAdapter[], spec: ModelSpec, room: AdapterRoom, signal?: AbortSignal) {
    this.#gpu = gpu;
    this.#signal = signal;
    this.#uploader = new Uploader(gpu, () => undefined, signal);
    const { hidden, sum, pairs } = scratchBytes(bound, spec, room);
    this.#scratch = {
      hidden: this.#buffer('adapter hidden', hidden),
      sum: this.#buffer('adapter sum', sum),
      pairs: this.#buffer('adapter pairs', pairs),
    };
  }

  #buffer(label: string, bytes: number): BufferView {
    return wholeBuffer(this.#gpu.createBuffer(label, 'adapters', bytes));
  }

  #matrix(label: string, rows: number, cols: number): DeviceMatrix {
    return { view: this.#buffer(label, planes(F32, { rows, cols }).bytes), rows, cols, layout: F32 };
  }

  async beside(name: string, spec: MatrixSpec, stretches: readonly Stretch[]): Promise<LowRankParts> {
    const rank = rankOf(stretches);
    const [down, up] = await this.#room(name, () => [
      this.#matrix(`${name}: ${spec.label} A`, rank, spec.cols),
      this.#matrix(`${name}: ${spec.label} B`, spec.rows, rank),
    ]);
    const values = await joinedMaps(spec, stretches, this.#signal);
    this.#gpu.write(down!.view, paddedRows(values.down, rank, spec.cols));
    this.#gpu.write(up!.view, paddedRows(values.up, spec.rows, rank));
    return { down: down!, up: up!, scratch: this.#scratch };
  }

  /** Nothing in `make` may wait. */
  #room<T>(name: string, make: () => T): Promise<T> {
    return this.#gpu.allocating(`adapter ${name}`, make);
  }

  /** Copies of all buffers of routers, as they are. */
  async copiedRouters(name: string, routers: readonly DeviceRouter[]): Promise<Map<DeviceRouter, DeviceRouter>> {
    const buffers = new Map<GPUBuffer, GPUBuffer>();
    await this.#room(name, () => {
      for (const { buffer } of routers.map((r) => r.view))
        if (!buffers.has(buffer)) buffers.set(buffer, this.#buffer(`${name}: routers`, buffer.size).buffer);
    });
    const encoder = this.#gpu.device.createCommandEncoder();
    for (const [buffer, copy] of buffers) encoder.copyBufferToBuffer(buffer, 0, copy, 0, buffer.size);
    this.#gpu.submit(encoder.finish());
    const moved = (view: BufferView): BufferView => ({ ...view, buffer: buffers.get(view.buffer)! });
    return new Map(routers.map((r) => [r, { ...r, view: moved(r.view), withNext: r.withNext && moved(r.withNext) }]));
  }

  fillRouter(spec: RouterSpec, place: DeviceRouter): Promise<void> {
    return this.#uploader.fillRouter(spec, place);
  }

  lift(spec: MatrixSpec): Promise<DeviceParts> {
    return this.#uploader.matrix(spec, 'adapters');
  }

  release(): Promise<void> {
    return this.#uploader.release();
  }

  async besideExperts(name: string, x: ExpertsSpec, bound: BoundExperts): Promise<LowRankExperts> {
    const { changed, gateUpRank, downRank } = bound;
    const places = new Uint32Array(x.count).fill(UNCHANGED);
    [...changed.keys()].forEach((e, place) => (places[e] = place));
    const values = expertMapValues(x, bound);
    const label = `${name}: ${x.label}`;
    const { table, gateUp, down } = await this.#room(name, () => ({
      table: this.#buffer(label, places.byteLength),
      gateUp: this.#maps(label, gateUpRank, [values.gateUpA, values.gateUpB], changed.size),
      down: this.#maps(label, downRank, [values.downA, values.downB], changed.size),
    }));
    this.#gpu.write(table, places);
    const { hidden, width } = x.slot;
    let place = 0;
    for (const maps of changed.values()) {
      const up = { rank: gateUpRank, rows: pairWidth(x), cols: hidden };
      await this.#fill(gateUp, place, [maps.gate, maps.up], up);
      await this.#fill(down, place, [maps.down], { rank: downRank, rows: hidden, cols: width });
      place++;
    }
    await this.#gpu.idle(); // bounds what waits to be copied
    return { places: table, gateUp, down, scratch: this.#scratch };
  }

  #maps(label: string, rank: number, [a, b]: [number, number], experts: number): ExpertMapsOnDevice | null {
    if (rank === 0) return null;
    return { rank, a: this.#buffer(`${label} A`, 4 * a * experts), b: this.#buffer(`${label} B`, 4 * b * experts) };
  }

  async #fill(
    maps: ExpertMapsOnDevice | null,
    place: number,
    halves: readonly (MapRows | null)[],
    shape: Parameters<typeof expertMaps>[1],
  ): Promise<void> {
    if (!maps) return;
    const { a, b } = await expertMaps(halves, shape, this.#signal);
    for (const [view, values] of [
      [maps.a, a],
      [maps.b, b],
    ] as const)
      this.#gpu.write(subview(view, place * values.byteLength, values.byteLength), values);
  }
}

const same = async <T>(value: T): Promise<T> => value;
const replacing =
  <T>(others: ReadonlyMap<T, T>) =>
  async (value: T): Promise<T> =>
    others.get(value) ?? value;

/** Everything in the order in which `mapWeights` meets it. */
async function partsOf<M, X, R>(
  model: ModelWeights<M, unknown, X, R>,
): Promise<{ readonly matrices: M[]; readonly experts: X[]; readonly routers: R[] }> {
  const found = { matrices: [] as M[], experts: [] as X[], routers: [] as R[] };
  const matrix = async (m: M): Promise<M> => {
    found.matrices.push(m);
    return m;
  };
  const experts = async (x: X): Promise<X> => {
    found.experts.push(x);
    return x;
  };
  const router = async (r: R): Promise<R> => {
    found.routers.push(r);
    return r;
  };
  await mapWeights(model, { matrix, vector: same, experts, router });
  return found;
}

/** An adapter's view of a layer's experts, whose arena may be replaced. */
const withMaps = (home: DeviceExperts, lowRank: LowRankExperts): DeviceExperts => ({
  get arena() {
    return home.arena;
  },
  slot: home.slot,
  slotTable: home.slotTable,
  lowRank,
});

/**
 * The model's weights under each adapter: its own buffers are shared.
 * @throws OutOfBudget when the GPU has no room for them
 */
export async function uploadAdapters(
  gpu: Gpu,
  { spec, weights, room }: { readonly spec: ModelSpec; readonly weights: DeviceWeights; readonly room: AdapterRoom },
  bound: readonly BoundAdapter[],
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, DeviceWeights>> {
  const adapted = new Map<string, DeviceWeights>();
  if (bound.length === 0) return adapted;
  const [specs, device] = [await partsOf(spec), await partsOf(weights)];
  invariant(specs.matrices.length === device.matrices.length, 'a model with more matrices than its description');
  const upload = await gpu.allocating('adapters', () => new AdapterUpload(gpu, bound, spec, room, signal));
  for (const { name, maps, experts: layers, lifts, routers } of bound) {
    const matrices = new Map<DeviceParts, DeviceParts>();
    const partsOn = (matrix: MatrixSpec): DeviceParts => device.matrices[specs.matrices.indexOf(matrix)]!;
    for (const [matrix, stretches] of maps) {
      const lowRank = await upload.beside(name, matrix, stretches);
      matrices.set(partsOn(matrix), { ...partsOn(matrix), lowRank });
    }
    for (const [matrix, copy] of lifts) matrices.set(partsOn(matrix), await upload.lift(copy));
    const routersOn = await upload.copiedRouters(name, routers.size > 0 ? device.routers : []);
    for (const [own, copy] of routers) {
      const router = device.routers[specs.routers.indexOf(own)]!;
      await upload.fillRouter(copy, routersOn.get(router)!);
    }
    const experts = new Map<DeviceExperts, DeviceExperts>();
    for (const [layer, found] of layers) {
      const home = device.experts[specs.experts.indexOf(layer)]!;
      const lowRank = await upload.besideExperts(name, layer, found);
      experts.set(home, withMaps(home, lowRank));
    }
    const under = await mapWeights(weights, {
      matrix: replacing(matrices),
      vector: same,
      experts: replacing(experts),
      router: replacing(routersOn),
    });
    adapted.set(name, under);
  }
  await upload.release();
  await gpu.idle();
  return adapted;
}
