/** Every fixture as a GGUF file: the same config, and every weight of the model bit for bit. */
import { describe, expect, test } from 'vitest';
import { attentionLayers } from '../../../../src/config/mixers.ts';
import { describeModel } from '../../../../src/engine/describe.ts';
import type { ExpertsSpec, MatrixSpec, ModelSpec, VectorSpec } from '../../../../src/engine/describe/specs.ts';
import { openModel, type OpenedModel } from '../../../../src/engine/open.ts';
import { ggufSource } from '../../../../src/weights/gguf/gguf-source.ts';
import type { PublishedMatrix } from '../../../../src/weights/matrix.ts';
import type { ByteSource } from '../../../../src/weights/source.ts';
import { ATTENTION_FACTOR, ggufOf, type Conversion } from '../../../support/gguf-fixture.ts';
import { filesOf, fixturePath } from '../../../support/models.ts';
import { floatsOf, memorySource } from '../../../support/weights.ts';

const described = ({ config, names, checkpoint, quantization }: OpenedModel): ModelSpec =>
  describeModel({ config, names, checkpoint, quantization, precision: 'as-is', bindingBytes: 2 ** 30 });

const isMatrix = (value: object): value is MatrixSpec => 'parts' in value;
const isVector = (value: object): value is VectorSpec => 'load' in value;
const isExperts = (value: object): value is ExpertsSpec => 'matrices' in value && 'slot' in value;
const isPublished = (value: object): value is PublishedMatrix => 'read' in value && 'storedBytes' in value;

/** All numbers of a part of a model, in an order that depends on its structure only. */
async function numbersOf(part: unknown): Promise<number[]> {
  if (part === null || typeof part !== 'object') return typeof part === 'number' ? [part] : [];
  if (isPublished(part)) return floatsOf(part);
  if (isVector(part)) return [...(await part.load())];
  if (isMatrix(part))
    return numbersOf(part.parts.map((p) => p.pieces.map((piece) => floatsOf(piece.source, piece.begin, piece.end))));
  if (isExperts(part)) {
    const experts = Array.from({ length: part.count }, (_, e) => [part.matrices(e), part.bias?.(e) ?? null]);
    return numbersOf(experts);
  }
  if (part instanceof Promise) return numbersOf(await part);
  if (part instanceof Float32Array) return [...part];
  const all = await Promise.all(Object.values(part).map(numbersOf));
  return all.flat();
}

/** Without what only planning reads: where pieces lie in their buffers. */
async function weightsOf(opened: OpenedModel): Promise<number[]> {
  const { embed, head, finalNorm, layers } = described(opened);
  const parts = layers.map(({ mixerNorm, mixer, ffn }) => {
    const feedForward =
      ffn.kind === 'moe'
        ? [
            ffn.router.matrix.pieces.map((p) => p.source),
            ffn.router.vectors.map((v) => v.vector),
            ffn.experts,
            ffn.shared?.gateUp,
            ffn.shared?.down,
          ]
        : ffn.kind === 'dense'
          ? [ffn.norm, ffn.gateUp, ffn.down]
          : [];
    return [mixerNorm, mixer, feedForward];
  });
  return numbersOf([embed, head, finalNorm, parts]);
}

const openGguf = (fixture: string, conversion: Conversion): Promise<OpenedModel> => {
  const bytes = ggufOf(filesOf(fixturePath(fixture)), conversion);
  return openModel(ggufSource(memorySource({ 'm.gguf': bytes }), 'm.gguf'));
};

const folder = (fixture: string): ByteSource => memorySource(filesOf(fixturePath(fixture)));

const CASES: readonly (readonly [string, Conversion])[] = [
  ['families/mixtral', {}],
  ['families/mixtral', { separateExperts: true }],
  ['families/olmoe', {}],
  ['families/qwen2-moe', {}],
  ['families/qwen3-moe', { matrices: 'F32' }],
  ['families/glm4-moe', {}],
  ['families/deepseek-v2', {}],
  ['families/deepseek-v2', { splitLatent: true }],
  ['families/deepseek-v3', { splitLatent: true, matrices: 'F32' }],
  ['families/gpt-oss', {}],
  ['families/phimoe', {}],
  ['formats/gpt-oss-mxfp4', {}],
  ['formats/qwen3-moe-ct-int4', {}],
];

test('the factors of longrope are read from their tensors', async () => {
  const fixture = 'families/phimoe-longrope';
  const [there, here] = [await openModel(folder(fixture)), await openGguf(fixture, {})];
  const ropes = [there, here].map(({ config }) => attentionLayers(config)[0]!.rope);
  // The file has one number for what cos and sin are multiplied by.
  const { long, ...short } = ropes[0]!;
  expect(ropes[1]).toEqual({
    ...short,
    amplitude: ATTENTION_FACTOR,
    long: { ...long, amplitude: ATTENTION_FACTOR },
  });
  expect(await weightsOf(here)).toEqual(await weightsOf(there));
});

test('blocks of Nemotron-H are found by what they hold; A, which is stored as it is, within rounding', async () => {
  const fixture = 'families/nemotron-h';
  const [there, here] = [await openModel(folder(fixture)), await openGguf(fixture, {})];
  expect(here.config).toEqual({ ...there.config, endTokens: [], beginToken: null });
  const [wanted, found] = [await weightsOf(there), await weightsOf(here)];
  expect(found.length).toBe(wanted.length);
  expect(found.findIndex((x, i) => !(Math.abs(x - wanted[i]!) < 5e-7))).toBe(-1);
  expect(here.checkpoint.unasked()).toEqual([]);
});

describe.each(CASES)('%s %j', (fixture, conversion) => {
  test('has the config and the weights of the folder', async () => {
    const [there, here] = [await openModel(folder(fixture)), await openGguf(fixture, conversion)];
    // The begin and end tokens come with a tokenizer.
    expect(here.config).toEqual({ ...there.config, endTokens: [], beginToken: null });
    const [wanted, found] = [await weightsOf(there), await weightsOf(here)];
    expect(wanted.length).toBeGreaterThan(100_000);
    expect(found.length).toBe(wanted.length);
    expect(found.findIndex((x, i) => x !== wanted[i])).toBe(-1);
    expect(here.checkpoint.unasked()).toEqual([]);
  });
});
