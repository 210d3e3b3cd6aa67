/**
 * LoRA adapters that are applied per request: beside each matrix W of attention, of a dense feed-forward, and the head, a low-rank map
 * scale * B A of its own, so that one copy of W serves all. Programs for an adapter are recorded when a request first names it.
 */
import { UnsupportedModel } from '../errors.ts';
import { wholeBuffer, type BufferView } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { DeviceMatrix } from '../kernels/matrix.ts';
import type { DeviceParts, LowRankParts } from '../layers/parts.ts';
import { mapWeights, mixerMatrices, type ModelWeights } from '../layers/weights.ts';
import { invariant } from '../util/assert.ts';
import type { Adapter, LowRank } from '../weights/adapters/lora.ts';
import { CHUNK, planes, type Layout } from '../weights/layout.ts';
import type { MatrixSpec, ModelSpec } from './describe/specs.ts';
import type { DeviceWeights } from './upload.ts';

/** Rows of a matrix that one module of the checkpoint gives, and what the adapter adds to them. */
interface Stretch {
  readonly map: LowRank;
  readonly begin: number;
  readonly end: number;
  readonly target: number;
  readonly stride: number;
}

export interface BoundAdapter {
  readonly name: string;
  readonly maps: ReadonlyMap<MatrixSpec, readonly Stretch[]>;
}

/** Matrices that every token goes through by a linear map of its own: what lifts latents is taken into queries and results instead; in
 * front of attention with a filter, products lie beside others in a row. */
function adaptable({ layers, head, embed }: ModelSpec): MatrixSpec[] {
  const inLayers = layers.flatMap(({ mixer: attention, ffn }) => [
    ...mixerMatrices(attention)
      .filter((m) => m !== null)
      .filter((m) => attention.kind !== 'latent' || m !== attention.kvUp)
      .filter((m) => attention.kind !== 'grouped' || !attention.filter || m === attention.o),
    ...(ffn.kind === 'dense' ? [ffn.gateUp, ffn.down] : []),
  ]);
  return head === embed ? inLayers : [...inLayers, head];
}

function stretchesOf({ parts }: MatrixSpec, adapter: Adapter, used: Set<string>): Stretch[] {
  return parts.flatMap(({ firstRow, pieces }) =>
    pieces.flatMap(({ source, begin, end, target, stride }) => {
      const map = adapter.lowRank(source.name, source);
      if (!map) return [];
      used.add(source.name);
      return [{ map, begin, end, target: firstRow + target, stride }];
    }),
  );
}

/**
 * Finds the matrices of an adapter's modules.
 * @throws UnsupportedModel for modules that cannot be changed per request: experts, routers, embeddings, and what the model does not have
 * @throws InvalidCheckpoint `wrong-shape` when the adapter was made for another size
 */
export function bindAdapter(name: string, adapter: Adapter, spec: ModelSpec): BoundAdapter {
  const used = new Set<string>();
  const maps = new Map<MatrixSpec, Stretch[]>();
  for (const matrix of adaptable(spec)) {
    const found = stretchesOf(matrix, adapter, used);
    if (found.length > 0) maps.set(matrix, found);
  }
  const left = adapter.modules.filter((module) => !used.has(module));
  if (left.length === 0) return { name, maps };
  const more = left.length > 3 ? ` and ${left.length - 3} more` : '';
  throw new UnsupportedModel(
    `The adapter ${name} changes ${left.slice(0, 3).join(', ')}${more}, which cannot be changed per request: only attention (of latent attention not kv_b_proj), dense feed-forwards and an untied head can. Load it with the option adapter, which merges it into the weights`,
    { adapter: name, modules: left.slice(0, 100) },
  );
}

const F32: Layout = { kind: 'f32' };

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
): Promise<{ readonly rank: number; readonly down: Float32Array; readonly up: Float32Array }> {
  const rank = stretches.reduce((sum, { map }) => sum + map.rank, 0);
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
  return { rank, down, up };
}

class AdapterUpload {
  readonly #gpu: Gpu;
  readonly #scratch: LowRankParts['scratch'];
  readonly #signal: AbortSignal | undefined;

  constructor(gpu: Gpu, bound: readonly BoundAdapter[], spec: ModelSpec, tokens: number, signal?: AbortSignal) {
    this.#gpu = gpu;
    this.#signal = signal;
    const ranks = bound.flatMap(({ maps }) =>
      [...maps.values()].map((stretches) => stretches.reduce((sum, { map }) => sum + map.rank, 0)),
    );
    const used = bound.flatMap(({ maps }) => [...maps.keys()]);
    const inLayers = adaptable(spec).filter((m) => m !== spec.head);
    const widest = Math.max(1, ...inLayers.map((m) => m.rows));
    // Latent attention passes what lies beside a product on, behind it in a longer row.
    const sum = Math.max(2 * tokens * widest, used.includes(spec.head) ? spec.head.rows : 0);
    this.#scratch = {
      hidden: this.#buffer('adapter hidden', 4 * tokens * Math.max(1, ...ranks)),
      sum: this.#buffer('adapter sum', 4 * sum),
      pairs: this.#buffer('adapter pairs', 4 * tokens * widest),
    };
  }

  #buffer(label: string, bytes: number): BufferView {
    return wholeBuffer(this.#gpu.createBuffer(label, 'activations', bytes));
  }

  #matrix(label: string, values: Float32Array, rows: number, cols: number): DeviceMatrix {
    const view = wholeBuffer(this.#gpu.createBuffer(label, 'weights', planes(F32, { rows, cols }).bytes));
    this.#gpu.write(view, paddedRows(values, rows, cols));
    return { view, rows, cols, layout: F32 };
  }

  async beside(name: string, spec: MatrixSpec, stretches: readonly Stretch[]): Promise<LowRankParts> {
    const { rank, down, up } = await joinedMaps(spec, stretches, this.#signal);
    return {
      down: this.#matrix(`${name}: ${spec.label} A`, down, rank, spec.cols),
      up: this.#matrix(`${name}: ${spec.label} B`, up, spec.rows, rank),
      scratch: this.#scratch,
    };
  }
}

const same = async <T>(value: T): Promise<T> => value;

/** Every matrix in the order in which `mapWeights` meets it. */
async function matricesOf<M>(model: ModelWeights<M, unknown, unknown, unknown>): Promise<M[]> {
  const found: M[] = [];
  const matrix = async (m: M): Promise<M> => {
    found.push(m);
    return m;
  };
  await mapWeights(model, { matrix, vector: same, experts: same, router: same });
  return found;
}

/**
 * The model's weights under each adapter: its own buffers are shared.
 * @param tokens most tokens of a step
 * @throws OutOfBudget when the GPU has no room for them
 */
export async function uploadAdapters(
  gpu: Gpu,
  { spec, weights, tokens }: { readonly spec: ModelSpec; readonly weights: DeviceWeights; readonly tokens: number },
  bound: readonly BoundAdapter[],
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, DeviceWeights>> {
  const adapted = new Map<string, DeviceWeights>();
  if (bound.length === 0) return adapted;
  const [specs, device] = [await matricesOf(spec), await matricesOf(weights)];
  invariant(specs.length === device.length, 'a model with more matrices than its description');
  const upload = await gpu.allocating('adapters', () => new AdapterUpload(gpu, bound, spec, tokens, signal));
  for (const { name, maps } of bound) {
    const changed = new Map<DeviceParts, DeviceParts>();
    for (const [matrix, stretches] of maps) {
      const parts = device[specs.indexOf(matrix)]!;
      const lowRank = await gpu.allocating(`adapter ${name}`, () => upload.beside(name, matrix, stretches));
      changed.set(parts, { ...parts, lowRank });
    }
    const matrix = async (m: DeviceParts): Promise<DeviceParts> => changed.get(m) ?? m;
    adapted.set(name, await mapWeights(weights, { matrix, vector: same, experts: same, router: same }));
  }
  await gpu.idle();
  return adapted;
}
