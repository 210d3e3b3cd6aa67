/**
 * LoRA adapters as PEFT writes them: adapter_config.json and adapter_model.safetensors with `lora_A` [r, K] and `lora_B` [N, r] for a module. They
 * are merged while rows are read: W + scale * B A.
 */
import { parseJson } from '../../config/json.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../../errors.ts';
import { expectDType, expectShape } from '../formats/format.ts';
import type { MatrixShape } from '../layout.ts';
import type { PublishedMatrix } from '../matrix.ts';
import { decodeFloats, dtypeBits } from '../safetensors/dtype.ts';
import { readHeader, type TensorInfo } from '../safetensors/header.ts';
import { checksum } from '../records/checksum.ts';
import { readBytes, type ByteSource } from '../source.ts';
import { floatRows, floatsToRows } from './float-rows.ts';
import { readLoraConfig, type LoraConfig } from './lora-config.ts';

const CONFIG = 'adapter_config.json';
const WEIGHTS = 'adapter_model.safetensors';
const MAX_CONFIG_BYTES = 2 ** 20;

interface Pair {
  A?: TensorInfo;
  B?: TensorInfo;
}

export interface Adapter {
  /** Differs between adapters whose merged weights may differ. */
  readonly id: string;
  /**
   * The matrix with what the adapter adds to the module of its name; itself, where the adapter has nothing.
   * @throws InvalidCheckpoint `wrong-shape` when the adapter was made for another size
   * @throws UnsupportedModel for weights that nothing can be added to
   */
  merge(matrix: PublishedMatrix): PublishedMatrix;
  /** Modules that nobody merged so far. */
  unmerged(): string[];
  /** Modules that the adapter changes. */
  readonly modules: readonly string[];
  /**
   * What the adapter adds to a module of these rows and columns; null where it has nothing.
   * @throws InvalidCheckpoint `wrong-shape` when the adapter was made for another size
   */
  lowRank(module: string, shape: MatrixShape): LowRank | null;
}

/** scale * B A. */
export interface LowRank {
  readonly rank: number; // r
  readonly scale: number;
  /** A [r, K] */
  down(signal?: AbortSignal): Promise<Float32Array>;
  /** Rows [begin, end) of B [N, r] */
  up(begin: number, end: number, signal?: AbortSignal): Promise<Float32Array>;
}

async function readConfig(source: ByteSource, signal?: AbortSignal): Promise<string> {
  const size = await source.size(CONFIG, signal);
  if (size === null)
    throw new InvalidCheckpoint('missing-file', `${source.label} has no ${CONFIG}: an adapter needs one`, {
      file: CONFIG,
    });
  if (size > MAX_CONFIG_BYTES)
    throw new InvalidCheckpoint('limit', `${CONFIG} has ${size} bytes; at most ${MAX_CONFIG_BYTES} are read`, { size });
  return new TextDecoder().decode(await readBytes(source, CONFIG, 0, size, signal));
}

/** A and B of each module. */
function pairsOf(tensors: Iterable<TensorInfo>): Map<string, Required<Pair>> {
  const found = new Map<string, Pair>();
  for (const info of tensors) {
    const name = /^(?:base_model\.model\.)?(.+)\.lora_([AB])(?:\.default)?\.weight$/.exec(info.name);
    if (!name)
      throw new UnsupportedModel(
        `${WEIGHTS}: ${info.name} is no lora_A or lora_B of a matrix, which is all that is merged`,
        {
          tensor: info.name,
        },
      );
    const pair = found.get(name[1]!) ?? {};
    pair[name[2] as 'A' | 'B'] = info;
    found.set(name[1]!, pair);
  }
  for (const [module, { A, B }] of found) {
    if (A && B) continue;
    throw new InvalidCheckpoint('missing-tensor', `${WEIGHTS} has only one of lora_A and lora_B of ${module}`, {
      tensor: module,
    });
  }
  return found as Map<string, Required<Pair>>;
}

/** @throws InvalidCheckpoint, UnsupportedModel, SourceError */
export async function openAdapter(source: ByteSource, signal?: AbortSignal): Promise<Adapter> {
  const text = await readConfig(source, signal);
  const config = readLoraConfig(parseJson(text, CONFIG), CONFIG);
  if ((await source.size(WEIGHTS, signal)) === null)
    throw new InvalidCheckpoint('missing-file', `${source.label} has no ${WEIGHTS}: an adapter needs one`, {
      file: WEIGHTS,
    });
  const header = await readHeader(source, WEIGHTS, signal ? { signal } : {});
  const pairs = pairsOf(header.tensors.values());
  const waiting = new Set(pairs.keys());
  const shapes = [...pairs].map(([module, { A, B }]) => [module, A.shape, B.shape, A.begin]);
  const seen = checksum(new TextEncoder().encode(`${text}\n${JSON.stringify(shapes)}`), 0);
  return {
    id: `${source.key ?? source.label} ${seen.toString(16)} ${source.version?.(WEIGHTS) ?? ''}`.trim(),
    merge(matrix) {
      const pair = pairs.get(matrix.name);
      if (!pair) return matrix;
      const merged = merge(matrix, lowRank(source, config, matrix.name, matrix, pair));
      waiting.delete(matrix.name);
      return merged;
    },
    unmerged: () => [...waiting],
    modules: [...pairs.keys()],
    lowRank(module, shape) {
      const pair = pairs.get(module);
      return pair ? lowRank(source, config, module, shape, pair) : null;
    },
  };
}

function lowRank(
  source: ByteSource,
  config: LoraConfig,
  module: string,
  { rows, cols }: MatrixShape,
  { A, B }: Required<Pair>,
): LowRank {
  const rank = A.shape[0] ?? 0;
  for (const info of [A, B]) expectDType(info, 'F32', 'F16', 'BF16');
  expectShape(A, [rank, cols]);
  expectShape(B, [rows, rank]);
  const read = async (info: TensorInfo, begin: number, end: number, signal?: AbortSignal): Promise<Float32Array> => {
    const unit = dtypeBits(info.dtype) / 8;
    return decodeFloats(
      info,
      await readBytes(source, info.file, info.begin + begin * unit, info.begin + end * unit, signal),
    );
  };
  return {
    rank,
    scale: config.scaleOf(module, rank),
    down: (signal) => read(A, 0, rank * cols, signal),
    up: (begin, end, signal) => read(B, begin * rank, end * rank, signal),
  };
}

function merge(matrix: PublishedMatrix, { rank, scale, down, up }: LowRank): PublishedMatrix {
  const { name, rows, cols, file, storedBytes } = matrix;
  const base = floatRows(matrix);
  return {
    name,
    rows,
    cols,
    file,
    storedBytes,
    layout: base.layout,
    format: `${matrix.format} + LoRA`,
    async read(begin, end, signal) {
      const [w, a, b] = await Promise.all([base.read(begin, end, signal), down(signal), up(begin, end, signal)]);
      const sum = new Float64Array(cols);
      for (let row = 0; row < end - begin; row++) {
        sum.fill(0);
        for (let r = 0; r < rank; r++) {
          const factor = scale * b[row * rank + r]!;
          for (let k = 0; k < cols; k++) sum[k]! += factor * a[r * cols + k]!;
        }
        for (let k = 0; k < cols; k++) w[row * cols + k]! += sum[k]!;
      }
      return floatsToRows(w, base.layout, { rows: end - begin, cols });
    },
  };
}
