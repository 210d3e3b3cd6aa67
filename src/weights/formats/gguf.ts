/**
 * GGUF: blocks of ggml types in one file. Types whose weights are a scale times a small integer stay that, exactly; the others become f16
 * (gguf/blocks). The configuration is our own: gguf/config.ts writes it from the file's metadata.
 */
import { ConfigReader, type Json } from '../../config/read.ts';
import { UnsupportedModel } from '../../errors.ts';
import type { Checkpoint, TensorInfo } from '../checkpoint.ts';
import type { BlockCodec } from '../gguf/blocks/codec.ts';
import { CODECS } from '../gguf/blocks/index.ts';
import { latentKv, type LatentKvShape } from '../gguf/latent-kv.ts';
import { unpermuted } from '../gguf/row-order.ts';
import type { MatrixShape } from '../layout.ts';
import type { PublishedMatrix } from '../matrix.ts';
import { expectShape, type WeightFormat } from './format.ts';
import { plainMatrix } from './plain.ts';
import { plainRows } from './rows.ts';

export const GGUF_METHOD = 'gguf';

interface GgufQuantization {
  /** The file with the weights, the first where there are several. */
  readonly file: string;
  /** A, where rows of q and k lie in llama.cpp's order. */
  readonly permutedHeads: number | null;
  readonly latent: LatentKvShape | null;
}

function read(quantization: Json): GgufQuantization {
  const c = new ConfigReader(quantization, 'config.json: quantization_config');
  c.only('quant_method', GGUF_METHOD);
  const file = c.raw('file');
  if (typeof file !== 'string') return c.fail('file', 'the name of a .gguf file');
  const permutedHeads = c.raw('permuted_head_size') === undefined ? null : c.integer('permuted_head_size', { min: 2 });
  const section = c.section('latent');
  const latent = section
    ? { heads: section.integer('heads'), nope: section.integer('nope'), value: section.integer('value') }
    : null;
  section?.finish();
  c.finish();
  return { file, permutedHeads, latent };
}

const known = new WeakMap<object, GgufQuantization>();

/** @returns null for another method. @throws InvalidCheckpoint, UnsupportedModel */
export function ggufQuantization(quantization: Json | null): GgufQuantization | null {
  const isObject = quantization !== null && typeof quantization === 'object' && !Array.isArray(quantization);
  if (!isObject || quantization.quant_method !== GGUF_METHOD) return null;
  let found = known.get(quantization);
  if (!found) known.set(quantization, (found = read(quantization)));
  return found;
}

function blockMatrix(checkpoint: Checkpoint, info: TensorInfo, name: string, expected: MatrixShape): PublishedMatrix {
  const { type, shape } = info.block!;
  const codec = CODECS.get(type);
  if (!codec)
    throw new UnsupportedModel(
      `${info.name} has blocks of type ${type}, which webmoe does not run; it runs ${[...CODECS.keys()].join(', ')}, F32, F16 and BF16. Another file of the same model may fit`,
      { tensor: info.name, type },
    );
  const { rows, cols } = expected;
  expectShape({ ...info, shape }, [rows, cols]);
  const stored = plainRows(checkpoint, info, { rowBytes: info.shape.at(-1)! });
  const of = (as: BlockCodec): PublishedMatrix => ({
    name,
    rows,
    cols,
    layout: as.layout,
    format: `gguf ${type.toLowerCase()}`,
    file: info.file,
    storedBytes: info.end - info.begin,
    read: async (begin, end, signal) => as.rows(await stored(begin, end, signal), { rows: end - begin, cols }),
    ...(as.floats && { floats: of(as.floats) }),
  });
  return of(codec);
}

function matrix(
  checkpoint: Checkpoint,
  quantization: Json,
  name: string,
  expected: MatrixShape,
): PublishedMatrix | null {
  const { permutedHeads, latent } = ggufQuantization(quantization)!;
  const full = `${name}.weight`;
  if (latent && name.endsWith('.attn_kv_b') && !checkpoint.has(full))
    return latentKv(checkpoint, name, expected, latent);
  if (!checkpoint.has(full)) return null;
  const info = checkpoint.tensor(full);
  const found = info.block ? blockMatrix(checkpoint, info, name, expected) : plainMatrix(checkpoint, name, expected);
  return found && permutedHeads !== null && /\.attn_[qk]$/.test(name) ? unpermuted(found, permutedHeads) : found;
}

export const gguf: WeightFormat = {
  method: GGUF_METHOD,
  check: (quantization) => void ggufQuantization(quantization),
  matrix,
  expert: () => null, // experts are slices with names of their own: gguf/checkpoint.ts
};
