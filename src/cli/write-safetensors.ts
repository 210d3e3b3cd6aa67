/** Writes small tensors in the safetensors format (https://github.com/huggingface/safetensors#format). */
import { ceilDiv } from '../util/math.ts';

export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array;
}

export function encodeSafetensors(tensors: readonly NamedTensor[]): Uint8Array {
  let end = 0;
  const header: Record<string, { dtype: string; shape: readonly number[]; data_offsets: [number, number] }> = {};
  for (const { name, shape, data } of tensors) {
    header[name] = {
      dtype: data instanceof Float32Array ? 'F32' : 'I32',
      shape,
      data_offsets: [end, end + data.byteLength],
    };
    end += data.byteLength;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const length = 8 * ceilDiv(text.length, 8); // padded with spaces, so that the data is aligned
  const out = new Uint8Array(8 + length + end).fill(0x20, 8, 8 + length);
  new DataView(out.buffer).setBigUint64(0, BigInt(length), true);
  out.set(text, 8);
  let at = 8 + length;
  for (const { data } of tensors) {
    out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return out;
}
