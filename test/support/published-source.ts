/** A published model as a source that has its config and tensor headers, and no weights: enough to plan it. */
import { readModelConfig } from '../../src/config/load.ts';
import type { ByteSource } from '../../src/weights/source.ts';
import { published, type JsonObject } from '../unit/config/published.ts';
import { expectedTensors } from '../unit/families/expected.ts';

interface Tensor {
  readonly dtype: 'BF16' | 'U8' | 'F32';
  readonly shape: readonly number[];
}

const BYTES = { BF16: 2, U8: 1, F32: 4 } as const;
const count = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

/** MXFP4 keeps [E, in, out] as blocks of 32 inputs: 16 bytes and a scale each. */
function stored(name: string, shape: readonly number[], isMxfp4: boolean): [string, Tensor][] {
  const [experts, width, out] = shape;
  if (!isMxfp4 || shape.length !== 3) return [[name, { dtype: 'BF16', shape }]];
  const groups = width! / 32;
  return [
    [`${name}_blocks`, { dtype: 'U8', shape: [experts!, out!, groups, 16] }],
    [`${name}_scales`, { dtype: 'U8', shape: [experts!, out!, groups] }],
  ];
}

export const publishedSource = (name: string): ByteSource => sourceOfConfig(name, published(name));

/** The same for any config.json. */
export function sourceOfConfig(name: string, json: JsonObject): ByteSource {
  const { config, names, isNested } = readModelConfig(JSON.stringify(json));
  const called = (tensor: string): string => (isNested ? tensor.replace(/^model\./, 'model.language_model.') : tensor);
  const isMxfp4 = (json.quantization_config as { quant_method?: string } | undefined)?.quant_method === 'mxfp4';
  let end = 0;
  const header: Record<string, object> = {};
  for (const [plain, wanted] of expectedTensors(config, names)) {
    for (const [tensor, { dtype, shape }] of stored(plain, wanted, isMxfp4)) {
      const begin = end;
      end += BYTES[dtype] * count(shape);
      header[called(tensor)] = { dtype, shape, data_offsets: [begin, end] };
    }
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const head = new Uint8Array(8 + text.length);
  new DataView(head.buffer).setBigUint64(0, BigInt(text.length), true);
  head.set(text, 8);
  const files: Readonly<Record<string, { readonly bytes: Uint8Array; readonly size: number }>> = {
    'config.json': ((bytes) => ({ bytes, size: bytes.length }))(new TextEncoder().encode(JSON.stringify(json))),
    'model.safetensors': { bytes: head, size: head.length + end },
  };
  return {
    label: name,
    size: (file) => Promise.resolve(files[file]?.size ?? null),
    async *stream(file, from, to) {
      const piece = new Uint8Array(to - from); // weights would be zeros
      piece.set(files[file]!.bytes.subarray(from, to));
      yield piece;
    },
  };
}
