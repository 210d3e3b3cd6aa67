// A folder of safetensors as numbers: plain bf16, f16 and f32, and integers packed by compressed-tensors. And the way back: one file.
import { Buffer } from 'node:buffer';
import { closeSync, openSync, readdirSync, readFileSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { bytesOf, filled, fromBf16, fromF16 } from './numbers.mjs';

function headerOf(path) {
  const file = openSync(path, 'r');
  try {
    const size = Buffer.alloc(8);
    readSync(file, size, 0, 8, 0);
    const bytes = Buffer.alloc(Number(size.readBigUInt64LE()));
    readSync(file, bytes, 0, bytes.length, 8);
    return { tensors: JSON.parse(bytes.toString()), begin: 8 + bytes.length };
  } finally {
    closeSync(file);
  }
}

/** All tensors by name, with what reads their bytes. */
function tensorsIn(folder) {
  const found = new Map();
  for (const name of readdirSync(folder)
    .filter((f) => /^model.*\.safetensors$/.test(f))
    .sort()) {
    const path = join(folder, name);
    const { tensors, begin } = headerOf(path);
    for (const [tensor, { dtype, shape, data_offsets: at }] of Object.entries(tensors)) {
      if (tensor === '__metadata__') continue;
      found.set(tensor, { dtype, shape, read: () => readRange(path, begin + at[0], at[1] - at[0]) });
    }
  }
  if (found.size === 0) throw new Error(`${folder} has no model*.safetensors`);
  return found;
}

function readRange(path, at, length) {
  const bytes = new Uint8Array(length);
  const file = openSync(path, 'r');
  try {
    readSync(file, bytes, 0, length, at);
  } finally {
    closeSync(file);
  }
  return bytes;
}

function halves(from) {
  return (bytes) => {
    const bits = new Uint16Array(bytes.buffer);
    return filled(new Float32Array(bits.length), (i) => from(bits[i]));
  };
}

const FLOATS = { F32: (bytes) => new Float32Array(bytes.buffer), BF16: halves(fromBf16), F16: halves(fromF16) };

function plain(name, { dtype, shape, read }) {
  const decode = FLOATS[dtype];
  if (!decode) throw new Error(`${name} is ${dtype}: only plain floats and compressed-tensors integers are converted`);
  return { name, shape, read: () => decode(read()) };
}

/** Symmetric integers in words, the first in the lowest bits, each 2^(bits-1) higher than it is. */
function packed(base, tensors) {
  const words = tensors.get(`${base}.weight_packed`);
  const scales = tensors.get(`${base}.weight_scale`);
  if (tensors.has(`${base}.weight_zero_point`)) throw new Error(`${base} has zero points: convert from plain weights`);
  const said = tensors.get(`${base}.weight_shape`);
  const shape = [
    ...(said.dtype === 'I64' ? new BigInt64Array(said.read().buffer) : new Int32Array(said.read().buffer)),
  ].map(Number);
  const [rows, cols] = shape;
  const perWord = Math.round(cols / words.shape[1]);
  const bits = 32 / perWord;
  const group = cols / (scales.shape[1] ?? 1);
  return {
    name: `${base}.weight`,
    shape,
    read() {
      const codes = new Uint32Array(words.read().buffer);
      const factors = FLOATS[scales.dtype](scales.read());
      const out = new Float32Array(rows * cols);
      const mask = 2 ** bits - 1;
      for (let i = 0, g = 0; g < factors.length; g++) {
        for (const end = i + group; i < end; i++)
          out[i] =
            factors[g] * (((codes[Math.floor(i / perWord)] >>> (bits * (i % perWord))) & mask) - 2 ** (bits - 1));
      }
      return out;
    },
  };
}

/** `{ config, tensors: [{ name, shape, read(): Float32Array }] }` of a folder. */
export function openFolder(folder) {
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
  const method = config.quantization_config?.quant_method;
  if (method !== undefined && method !== 'compressed-tensors')
    throw new Error(`${folder} is quantised by ${method}: convert from its plain weights`);
  const stored = tensorsIn(folder);
  const tensors = [];
  for (const [name, tensor] of stored) {
    if (/\.weight_(scale|shape)$/.test(name)) continue;
    const base = name.replace(/\.weight_packed$/, '');
    tensors.push(base === name ? plain(name, tensor) : packed(base, stored));
  }
  return { config, tensors };
}

/** Writes `{ name: { dtype, shape, bytes } }` as one file. */
export function writeSafetensors(path, tensors) {
  let at = 0;
  const header = { __metadata__: { format: 'pt' } };
  for (const [name, { dtype, shape, bytes }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [at, at + bytes.byteLength] };
    at += bytes.byteLength;
  }
  const json = Buffer.from(JSON.stringify(header));
  const text = Buffer.concat([json, Buffer.alloc((8 - (json.length % 8)) % 8, ' ')]);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  const file = openSync(path, 'w');
  try {
    for (const piece of [size, text, ...Object.values(tensors).map((t) => bytesOf(t.bytes))]) writeAll(file, piece);
  } finally {
    closeSync(file);
  }
}

export function writeAll(file, bytes) {
  for (let at = 0; at < bytes.byteLength;) at += writeSync(file, bytes, at);
}
