import { describe, it } from 'vitest';
import type { GroupedAttention } from '../../../src/config/model-config.ts';
import type { BufferView } from '../../../src/gpu/buffer.ts';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { attentionBiased } from '../../../src/kernels/attention/attention_biased.ts';
import { bucketTable } from '../../../src/layers/distance.ts';
import { attentionBiased as twin } from '../../../src/reference/attention/attention_biased.ts';
import { asF32, expectClose, expectMutantToFail, runKernel } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });

const BIAS = { buckets: 8, furthest: 11 };

interface Case {
  readonly name: string;
  readonly sees: NonNullable<GroupedAttention['sees']>;
  readonly tokens: number;
  readonly position?: number;
  readonly encoded?: number;
  readonly heads?: number;
  readonly kvHeads?: number;
  readonly size?: number;
  readonly biased?: boolean;
  readonly window?: number;
  readonly sinks?: boolean;
}

/** Keys beyond one tile of 64, sizes beyond one turn of 64 lanes, and the least of everything. */
const CASES: readonly Case[] = [
  { name: 'nothing', sees: 'step', tokens: 0, biased: true },
  { name: 'a text', sees: 'step', tokens: 71, biased: true },
  { name: 'a text of one token', sees: 'step', tokens: 1, heads: 1, kvHeads: 1, size: 1, biased: true },
  { name: 'a token to those before it', sees: 'before', tokens: 1, position: 69, biased: true },
  { name: 'a first token', sees: 'before', tokens: 1, biased: true },
  { name: 'a token to a text', sees: 'encoded', tokens: 1, position: 5, encoded: 67 },
  { name: 'a token to a long text of shared heads', sees: 'encoded', tokens: 1, encoded: 130, kvHeads: 2, size: 70 },
  { name: 'a text by a window, with sinks', sees: 'step', tokens: 90, kvHeads: 2, window: 41, sinks: true },
];

const CAPACITY = 133;

async function check(c: Case): Promise<void> {
  const { sees, tokens, position = 0, encoded = 0, heads = 4, kvHeads = heads, size = 12, biased = false } = c;
  const { window = null, sinks = false } = c;
  const sunk = normals(5, heads);
  const scale = 0.7;
  const q = normals(1, tokens * heads * size);
  const [keys, values] = [normals(2, kvHeads * CAPACITY * size), normals(3, kvHeads * CAPACITY * size)];
  const bias = normals(4, BIAS.buckets * heads, 2);
  const buckets = bucketTable(BIAS, sees);
  const attention = {
    heads,
    kvHeads,
    headSize: size,
    scale,
    sees,
    window,
    sinks,
    ...(biased && { distanceBias: BIAS }),
  };
  const got = await runKernel(gpu, {
    inputs: { q, keys, values, bias, buckets, encoded: Uint32Array.of(encoded), sinks: sunk },
    outputs: { out: tokens * heads * size },
    step: { tokens, position },
    record: (r, v) => {
      const io = { q: v.q!, kCache: v.keys!, vCache: v.values!, out: v.out! };
      const only = (key: string, isThere: boolean): Record<string, BufferView> => (isThere ? { [key]: v[key]! } : {});
      const more = {
        ...only('bias', biased),
        ...only('buckets', biased),
        ...only('encoded', sees === 'encoded'),
        ...only('sinks', sinks),
      };
      attentionBiased(r, c.name, { ...io, ...more }, { attention, capacity: CAPACITY });
    },
  });
  const biasOf = (distance: number, h: number): number =>
    bias[buckets[Math.min(2 * BIAS.furthest, Math.max(0, distance + BIAS.furthest))]! * heads + h]!;
  const want = twin(
    { q, keys, values },
    {
      heads,
      kvHeads,
      size,
      capacity: CAPACITY,
      scale,
      position,
      seen: (t) =>
        Math.min(sees === 'encoded' ? encoded : sees === 'step' ? tokens : position + t + 1, t + (window ?? Infinity)),
      from: (t) => Math.max(0, t + 1 - (window ?? Infinity)),
      ...(sinks && { sinks: sunk }),
      bias: biased ? biasOf : () => 0,
    },
  );
  expectClose(asF32(got.out!), want, 5e-6, c.name); // scores are chains of up to 70 products
}

describe('attention/attention_biased', () => {
  it.each(CASES)('$name', check);

  it.each([
    ['looks back alone', 'u_step.position + u_step.tokens', 'position + 1u', 1],
    ['turns distances round', 'max(key + FURTHEST, position) - position', 'max(position + FURTHEST, key) - key', 1],
    ['takes all distances for near ones', '2u * FURTHEST);', 'FURTHEST + 1u);', 1],
    ['has one head’s bias', '* HEADS + head]', '* HEADS]', 3],
    ['scales the bias', 'product *= SCALE;', '', 3],
    ['sees another text’s end', '= encoded[0];', '= encoded[0] - 1u;', 5],
    ['forgets what earlier tiles weighed', 'total *= decay;', '', 6],
    ['sees too far back', 'max(position + 1u, WINDOW) - WINDOW', 'max(position, WINDOW) - WINDOW', 7],
    ['sees too far ahead', 'min(end, position + WINDOW)', 'min(end, position + WINDOW + 1u)', 7],
    ['forgets the sinks', 'var total = 1.0;', 'var total = 0.0;', 7],
    ['takes each head’s own keys', 'head / (HEADS / KV_HEADS) * CAPACITY', 'head % KV_HEADS * CAPACITY', 6],
  ] as const)('notices a kernel that %s', async (_what, from, to, which) => {
    await expectMutantToFail(
      gpu,
      shaderText,
      'attention/attention_biased',
      (text) => text.replace(from, to),
      () => check(CASES[which]!),
    );
  });
});
