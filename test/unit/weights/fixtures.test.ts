/** Published formats on the golden fixtures, against a straightforward dequantisation written here. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Json } from '../../../src/config/read.ts';
import { bf16ToF32 } from '../../../src/util/half.ts';
import type { ExpertStorage } from '../../../src/families/family.ts';
import { openCheckpoint, type Checkpoint } from '../../../src/weights/checkpoint.ts';
import { findExpertBias, expertMatrices, findMatrix, findVector } from '../../../src/weights/formats/index.ts';
import { pathSource } from '../../../src/weights/node-source.ts';
import { floatsOf } from '../../support/weights.ts';

const FIXTURES = join(import.meta.dirname, '../../fixtures');

interface Fixture {
  readonly checkpoint: Checkpoint;
  readonly quantization: Json;
  /** The raw bytes of a tensor, read without any code under test. */
  raw(name: string): DataView;
}

async function open(path: string): Promise<Fixture> {
  const dir = join(FIXTURES, path);
  const config = JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8')) as { quantization_config?: Json };
  const file = readFileSync(join(dir, 'model.safetensors'));
  const n = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, 8 + n)) as Record<string, { data_offsets: [number, number] }>;
  return {
    checkpoint: await openCheckpoint(pathSource(dir)),
    quantization: config.quantization_config ?? null,
    raw: (name) => {
      const [begin, end] = header[name]!.data_offsets;
      return new DataView(file.buffer, file.byteOffset + 8 + n + begin, end - begin);
    },
  };
}

describe('compressed-tensors int4 (qwen3-moe-ct-int4)', async () => {
  const { checkpoint, quantization, raw } = await open('formats/qwen3-moe-ct-int4');

  const dequantised = (name: string, rows: number, cols: number): number[] => {
    const packed = raw(`${name}.weight_packed`);
    const scale = raw(`${name}.weight_scale`);
    const groups = cols / 32;
    const out: number[] = [];
    for (let n = 0; n < rows; n++) {
      for (let k = 0; k < cols; k++) {
        const word = packed.getUint32(4 * (n * (cols / 8) + Math.floor(k / 8)), true);
        const q = ((word >>> (4 * (k % 8))) & 15) - 8;
        out.push(q * bf16ToF32(scale.getUint16(2 * (n * groups + Math.floor(k / 32)), true)));
      }
    }
    return out;
  };

  test.each([
    ['model.layers.0.self_attn.q_proj', 128, 64],
    ['model.layers.0.mlp.experts.0.gate_proj', 32, 64],
    ['model.layers.2.mlp.experts.15.down_proj', 64, 32],
  ])('%s', async (name, rows, cols) => {
    const matrix = findMatrix(checkpoint, quantization, name, { rows, cols })!;
    expect(matrix.layout).toEqual({ kind: 'int', bits: 4, group: 32, scale: 'bf16', zeros: false });
    expect(matrix.format).toBe('compressed-tensors int4 g32');
    expect(await floatsOf(matrix)).toEqual(dequantised(name, rows, cols));
    expect(await floatsOf(matrix, 5, 12)).toEqual(dequantised(name, rows, cols).slice(5 * cols, 12 * cols));
  });

  test('what config.json says to ignore is plain', () => {
    const router = findMatrix(checkpoint, quantization, 'model.layers.0.mlp.gate', { rows: 16, cols: 64 })!;
    expect(router.layout).toEqual({ kind: 'bf16' });
    expect(findMatrix(checkpoint, quantization, 'lm_head', { rows: 256, cols: 64 })!.format).toBe('bf16');
    expect(findMatrix(checkpoint, quantization, 'model.layers.9.mlp.gate', { rows: 16, cols: 64 })).toBeNull();
  });

  test('a norm', async () => {
    const bits = raw('model.norm.weight');
    const expected = Array.from({ length: 64 }, (_, i) => bf16ToF32(bits.getUint16(2 * i, true)));
    expect([...(await findVector(checkpoint, 'model.norm.weight', 64)())]).toEqual(expected);
  });
});

describe('mxfp4 (gpt-oss-mxfp4)', async () => {
  const { checkpoint, quantization, raw } = await open('formats/gpt-oss-mxfp4');
  const at = 'model.layers.1.mlp.experts';
  const shape = { hidden: 64, width: 64, experts: 8 };
  const storage: ExpertStorage = {
    kind: 'fused',
    gateUp: `${at}.gate_up_proj`,
    down: `${at}.down_proj`,
    gateUpBias: `${at}.gate_up_proj_bias`,
    downBias: `${at}.down_proj_bias`,
    orientation: 'in-out',
    gateRows: 'even',
  };
  const VALUES = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6];

  const row = (name: string, rows: number, e: number, n: number): number[] => {
    const blocks = raw(`${name}_blocks`);
    const scales = raw(`${name}_scales`);
    return Array.from({ length: 64 }, (_, k) => {
      const chunk = (e * rows + n) * 2 + Math.floor(k / 32);
      const byte = blocks.getUint8(chunk * 16 + Math.floor((k % 32) / 2));
      return VALUES[k % 2 ? byte >> 4 : byte & 15]! * 2 ** (scales.getUint8(chunk) - 127);
    });
  };
  const rows = (name: string, total: number, e: number, which: (i: number) => number): number[] =>
    Array.from({ length: 64 }, (_, i) => row(name, total, e, which(i))).flat();

  test.each([0, 7])('expert %i', async (e) => {
    const { gate, up, down } = expertMatrices(checkpoint, quantization, storage, e, shape)!;
    for (const m of [gate, up, down])
      expect([m.layout, m.rows, m.cols, m.format]).toEqual([{ kind: 'mxfp4' }, 64, 64, 'mxfp4']);
    expect(await floatsOf(gate)).toEqual(rows(storage.gateUp, 128, e, (i) => 2 * i));
    expect(await floatsOf(up)).toEqual(rows(storage.gateUp, 128, e, (i) => 2 * i + 1));
    expect(await floatsOf(down)).toEqual(rows(storage.down, 64, e, (i) => i));
  });

  test('biases', async () => {
    const bias = raw(`${at}.gate_up_proj_bias`);
    const { gateUp, down } = await findExpertBias(checkpoint, storage, 3, shape)();
    expect([...gateUp]).toEqual(
      Array.from({ length: 128 }, (_, i) => bf16ToF32(bias.getUint16(2 * (3 * 128 + i), true))),
    );
    expect(down.length).toBe(64);
  });
});

describe('fused plain experts (gpt-oss)', async () => {
  const { checkpoint, quantization, raw } = await open('families/gpt-oss');
  const at = 'model.layers.0.mlp.experts';

  test('stored transposed, gate in even columns', async () => {
    const storage: ExpertStorage = {
      kind: 'fused',
      gateUp: `${at}.gate_up_proj`,
      down: `${at}.down_proj`,
      gateUpBias: null,
      downBias: null,
      orientation: 'in-out',
      gateRows: 'even',
    };
    const { gate, up, down } = expertMatrices(checkpoint, quantization, storage, 5, {
      hidden: 64,
      width: 64,
      experts: 8,
    })!;
    const value = (name: string, columns: number, k: number, n: number): number =>
      bf16ToF32(raw(name).getUint16(2 * ((5 * 64 + k) * columns + n), true));
    const expected = (name: string, columns: number, which: (n: number) => number): number[] =>
      Array.from({ length: 64 * 64 }, (_, i) => value(name, columns, i % 64, which(Math.floor(i / 64))));
    expect(await floatsOf(gate)).toEqual(expected(storage.gateUp, 128, (n) => 2 * n));
    expect(await floatsOf(up)).toEqual(expected(storage.gateUp, 128, (n) => 2 * n + 1));
    expect(await floatsOf(down)).toEqual(expected(storage.down, 64, (n) => n));
  });
});
