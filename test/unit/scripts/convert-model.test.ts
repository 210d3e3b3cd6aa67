/** The converter against the reader: a model in every form is the model, as far off as the form's step explains for weights that are normal. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { convertModel, FORM_NAMES } from '../../../scripts/convert-model.mjs';
import { openNodeSource } from '../../../src/cli/node-source.ts';
import { DEFAULT_DEVICE_LIMITS, openModel, planOpened } from '../../../src/engine/open.ts';
import { layoutName } from '../../../src/weights/layout.ts';
import type { PublishedMatrix } from '../../../src/weights/matrix.ts';
import { configOf } from '../../support/configs.ts';
import { thinned } from '../../support/everyday.ts';
import { numbersOf } from '../../support/encoded.ts';
import { plain, synthetic } from '../../support/synthetic.ts';

const folder = mkdtempSync(join(tmpdir(), 'webmoe-convert-'));
afterAll(() => rmSync(folder, { recursive: true }));

const model = join(folder, 'model');
const { files } = synthetic(
  configOf('qwen3-moe', {
    num_hidden_layers: 1,
    hidden_size: 256,
    head_dim: 64,
    num_attention_heads: 4,
    num_key_value_heads: 1,
    moe_intermediate_size: 64,
    num_experts: 11,
    num_experts_per_tok: 1,
    vocab_size: 32,
  }),
  { encode: plain('BF16') },
);

/** A safetensors file with its header in the order of its names' text, as Python's package writes it: expert 10 comes before expert 2. */
function inOrderOfText(file: Uint8Array): Uint8Array {
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(Buffer.from(file.subarray(8, 8 + length)).toString()) as Record<string, unknown>;
  const sorted = Object.fromEntries(Object.entries(header).sort(([a], [b]) => (a < b ? -1 : 1)));
  const out = Uint8Array.from(file);
  out.set(Buffer.from(JSON.stringify(sorted).padEnd(length)), 8);
  return out;
}

mkdirSync(model);
for (const [name, content] of Object.entries(files))
  writeFileSync(
    join(model, name),
    typeof content === 'string' || !name.endsWith('.safetensors') ? content : inOrderOfText(content),
  );

/** RMS of the difference, in RMS of the weights. */
function roundingError(found: readonly number[], wanted: readonly number[]): number {
  const squares = (values: readonly number[]): number => values.reduce((sum, x) => sum + x * x, 0);
  return Math.sqrt(squares(wanted.map((w, i) => w - found[i]!)) / squares(wanted));
}

/** Matrices of every shape that there is, by what they are. */
async function matricesOf(path: string): Promise<Record<string, PublishedMatrix>> {
  const opened = await openModel(await openNodeSource(path));
  const { layers } = planOpened(opened, DEFAULT_DEVICE_LIMITS, 'as-is', {}).spec;
  const { mixer: attention, ffn } = layers[0]!;
  if (attention.kind !== 'grouped' || ffn.kind !== 'moe') throw new Error('test bug: another kind of layer');
  const sources = [attention.qkv, attention.o].flatMap(({ parts }) => parts.flatMap((part) => part.pieces));
  const [q, k, v, o] = sources.map((piece) => piece.source);
  return { q: q!, k: k!, v: v!, o: o!, ...ffn.experts.matrices(2) };
}

/** Relative error and layout of matrices with 256 columns, and of `down` with 64. */
const EXPECTED: Readonly<Record<string, readonly [error: number, layout: string, down: string]>> = {
  bf16: [0.001, 'bf16', 'bf16'],
  gptq: [0.09, 'int4 g64 f16 zeros', 'int4 g64 f16 zeros'],
  'gptq-act-order': [0.09, 'f32', 'f32'],
  awq: [0.09, 'int4 g64 f16 zeros', 'int4 g64 f16 zeros'],
  nf4: [0.092, 'nf4 g64', 'nf4 g64'],
  fp8: [0.027, 'fp8 g128 f32', 'fp8 g64 f32'],
  int4: [0.1, 'int4 g64 bf16', 'int4 g64 bf16'],
  'mlx-4bit': [0.09, 'int4 g64 bf16 zeros f32', 'int4 g64 bf16 zeros f32'],
  'gguf-q8_0': [0.005, 'int8 g32 f16', 'int8 g32 f16'],
  'gguf-q4_0': [0.085, 'int4 g32 f16', 'int4 g32 f16'],
  'gguf-q4_k': [0.08, 'q4_k', 'int8 g32 f16'],
};

describe.each(thinned(FORM_NAMES, 5))('%s', (to) => {
  it('holds the numbers of the model', async () => {
    const [error, layout, down] = EXPECTED[to]!;
    const out = join(folder, to.startsWith('gguf') ? `${to}.gguf` : to);
    convertModel({ model, to, out });
    const [before, after] = [await matricesOf(model), await matricesOf(out)];
    expect(layoutName(after.q!.layout)).toBe(layout);
    expect(layoutName(after.down!.layout)).toBe(down);
    for (const name of ['q', 'k', 'gate', 'up']) {
      const found = roundingError((await numbersOf(after[name]!)).all, (await numbersOf(before[name]!)).all);
      expect(found, name).toBeLessThan(1.1 * error);
      expect(found, name).toBeGreaterThan(to === 'bf16' ? -1 : 0.7 * error);
    }
  });
});
