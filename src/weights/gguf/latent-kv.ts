/**
 * The key and value projection of latent attention, [H (nope + value), rank], from the two tensors that newer files have in its place:
 * `attn_k_b` [H, rank, nope], transposed, and `attn_v_b` [H, value, rank]. Transposing blocks means decoding them: rows are f32, f16 or bf16.
 */
import { UnsupportedModel } from '../../errors.ts';
import { f16ToF32, f32ToBf16, f32ToF16 } from '../../util/half.ts';
import type { Checkpoint, TensorInfo } from '../checkpoint.ts';
import { expectShape } from '../formats/format.ts';
import { padRows } from '../formats/plain.ts';
import { plainRows, type RowReader } from '../formats/rows.ts';
import { planes, type Layout, type MatrixShape } from '../layout.ts';
import type { NativeRows, PublishedMatrix } from '../matrix.ts';
import { decodeFloats } from '../safetensors/dtype.ts';
import { CODECS } from './blocks/index.ts';
import { NO_WORDS } from './blocks/codec.ts';

/** Numbers of some rows of a tensor, whatever blocks they are in. */
interface FloatRows {
  readonly kind: 'f32' | 'f16' | 'bf16';
  read(begin: number, end: number, signal?: AbortSignal): Promise<Float32Array>;
}

function floatRows(checkpoint: Checkpoint, info: TensorInfo): FloatRows {
  const rowBytes = (info.end - info.begin) / info.shape.slice(0, -1).reduce((a, b) => a * b, 1);
  const bytes: RowReader = plainRows(checkpoint, info, { rowBytes });
  const { block } = info;
  if (!block) {
    const kind = info.dtype === 'F16' ? 'f16' : info.dtype === 'BF16' ? 'bf16' : 'f32';
    return { kind, read: async (begin, end, signal) => decodeFloats(info, await bytes(begin, end, signal)) };
  }
  const found = CODECS.get(block.type);
  const codec = found?.floats ?? found;
  if (!codec)
    throw new UnsupportedModel(`${info.name} has blocks of type ${block.type}, which webmoe does not run`, {});
  const cols = block.shape.at(-1)!;
  return {
    kind: 'f16',
    async read(begin, end, signal) {
      const shape = { rows: end - begin, cols };
      return decodeNative(codec.rows(await bytes(begin, end, signal), shape), codec.layout, shape);
    },
  };
}

/** Rows of f16 or of 8-bit groups as numbers; the other layouts have no blocks that come here. */
function decodeNative({ values, scales, zeros }: NativeRows, layout: Layout, shape: MatrixShape): Float32Array {
  const out = new Float32Array(shape.rows * shape.cols);
  if (layout.kind === 'f16') {
    const halves = new Uint16Array(values.buffer);
    for (let i = 0; i < out.length; i++) out[i] = f16ToF32(halves[i]!);
    return out;
  }
  if (layout.kind !== 'int') throw new UnsupportedModel('MXFP4 blocks in attn_k_b or attn_v_b are not run', {});
  const p = planes(layout, shape);
  const bytes = new Uint8Array(values.buffer);
  const halves = new Uint16Array(scales.buffer);
  const floats = new Float32Array(scales.buffer);
  const zero = layout.zeros ? zeros[0]! & 255 : 2 ** (layout.bits - 1);
  for (let i = 0; i < out.length; i++) {
    const row = Math.floor(i / shape.cols);
    const k = i - row * shape.cols;
    const group = Math.floor(k / layout.group);
    const scale =
      layout.scale === 'f32'
        ? floats[row * p.scaleRowWords + group]!
        : f16ToF32(halves[2 * row * p.scaleRowWords + group]!);
    out[i] = scale * (integerAt(bytes, layout.bits, i) - zero);
  }
  return out;
}

/** Weight i of rows without padding, as layout.ts orders them. */
function integerAt(bytes: Uint8Array, bits: 4 | 8, i: number): number {
  if (bits === 8) return bytes[i]!;
  const byte = bytes[4 * (i >> 3) + (i & 3)]!;
  return i & 4 ? byte >> 4 : byte & 15;
}

export interface LatentKvShape {
  readonly heads: number;
  readonly nope: number;
  readonly value: number;
}

/** @returns null when the file has neither of the two */
export function latentKv(
  checkpoint: Checkpoint,
  name: string,
  { rows, cols }: MatrixShape,
  { heads, nope, value }: LatentKvShape,
): PublishedMatrix | null {
  const [kName, vName] = [name.replace(/_kv_b$/, '_k_b.weight'), name.replace(/_kv_b$/, '_v_b.weight')];
  if (!checkpoint.has(kName) && !checkpoint.has(vName)) return null;
  const [kInfo, vInfo] = [checkpoint.tensor(kName), checkpoint.tensor(vName)];
  expectShape({ ...kInfo, shape: kInfo.block?.shape ?? kInfo.shape }, [heads, cols, nope]);
  expectShape({ ...vInfo, shape: vInfo.block?.shape ?? vInfo.shape }, [heads, value, cols]);
  const [k, v] = [floatRows(checkpoint, kInfo), floatRows(checkpoint, vInfo)];
  const kind = k.kind === v.kind ? k.kind : 'f32';
  const layout: Layout = { kind };
  const size = nope + value;
  /** [nope + value, rank] of one head. */
  const head = async (h: number, signal?: AbortSignal): Promise<Float32Array> => {
    const [keys, values] = await Promise.all([
      k.read(h * cols, (h + 1) * cols, signal),
      v.read(h * value, (h + 1) * value, signal),
    ]);
    const out = new Float32Array(size * cols);
    for (let n = 0; n < nope; n++) for (let r = 0; r < cols; r++) out[n * cols + r] = keys[r * nope + n]!;
    out.set(values, nope * cols);
    return out;
  };
  return {
    name,
    rows,
    cols,
    layout,
    format: `gguf ${kInfo.block?.type.toLowerCase() ?? kInfo.dtype.toLowerCase()} keys, ${vInfo.block?.type.toLowerCase() ?? vInfo.dtype.toLowerCase()} values`,
    file: kInfo.file,
    storedBytes: kInfo.end - kInfo.begin + vInfo.end - vInfo.begin,
    async read(begin, end, signal) {
      const out = new Float32Array((end - begin) * cols);
      for (let h = Math.floor(begin / size); h * size < end; h++) {
        const all = await head(h, signal);
        const [from, to] = [Math.max(begin, h * size), Math.min(end, (h + 1) * size)];
        out.set(all.subarray((from - h * size) * cols, (to - h * size) * cols), (from - begin) * cols);
      }
      return { values: floatWords(out, kind, { rows: end - begin, cols }), scales: NO_WORDS, zeros: NO_WORDS };
    },
  };
}

function floatWords(values: Float32Array<ArrayBuffer>, kind: 'f32' | 'f16' | 'bf16', shape: MatrixShape): Uint32Array {
  const rowBytes = planes({ kind }, shape).valueRowWords * 4;
  if (kind === 'f32') return padRows(new Uint8Array(values.buffer), shape.rows, rowBytes);
  const round = kind === 'f16' ? f32ToF16 : f32ToBf16;
  return padRows(new Uint8Array(Uint16Array.from(values, round).buffer), shape.rows, rowBytes);
}
