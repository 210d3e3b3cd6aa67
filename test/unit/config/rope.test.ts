import { expect, test } from 'vitest';
import { ConfigReader, type Json } from '../../../src/config/read.ts';
import { readRope, type RopeRequest } from '../../../src/config/rope.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../../../src/errors.ts';

const request: RopeRequest = { headSize: 64, maxContext: 4096, theta: 10_000 };

function read(config: { [key: string]: Json }, changes: Partial<RopeRequest> = {}): ReturnType<typeof readRope> {
  const c = new ConfigReader(config);
  const rope = readRope(c, { ...request, ...changes });
  c.finish();
  return rope;
}
const full = (config: { [key: string]: Json }, changes: Partial<RopeRequest> = {}) =>
  read(config, changes)('full_attention');
const frequencies = (config: { [key: string]: Json }): readonly number[] => full(config).rope.inverseFrequencies;

const plain = (theta: number): number[] => Array.from({ length: 32 }, (_, j) => theta ** (-j / 32));
const near = (actual: readonly number[], expected: readonly number[]): void => {
  expect(actual).toHaveLength(expected.length);
  actual.forEach((f, j) => expect(f / expected[j]!, `pair ${j}`).toBeCloseTo(1, 12));
};

test('plain, from either form or from the family', () => {
  near(frequencies({}), plain(10_000));
  near(frequencies({ rope_theta: 500_000, rope_scaling: null }), plain(500_000));
  near(frequencies({ rope_parameters: { rope_theta: 500_000, rope_type: 'default' } }), plain(500_000));
});

test('linear divides', () => {
  near(
    frequencies({ rope_scaling: { type: 'linear', factor: 4 } }),
    plain(10_000).map((f) => f / 4),
  );
});

test('yarn keeps fast pairs, divides slow ones, and blends between', () => {
  const scaling = { rope_type: 'yarn', factor: 32, original_max_position_embeddings: 4096 };
  const { rope, latentScale } = full({ rope_theta: 150_000, rope_scaling: { ...scaling, truncate: false } });
  const base = plain(150_000);
  const f = rope.inverseFrequencies;
  // Corrections 8.0927... and 17.3979...: pairs up to 8 keep their angle, from 18 on they are divided.
  for (const j of [0, 8]) expect(f[j]! / base[j]!).toBeCloseTo(1, 12);
  for (const j of [18, 31]) expect((f[j]! / base[j]!) * 32).toBeCloseTo(1, 12);
  const low = (64 * Math.log(4096 / (64 * Math.PI))) / (2 * Math.log(150_000));
  const high = (64 * Math.log(4096 / (2 * Math.PI))) / (2 * Math.log(150_000));
  expect([low, high].map((x) => Math.floor(x))).toEqual([8, 17]);
  const ramp = (12 - low) / (high - low);
  expect(f[12]! / base[12]!).toBeCloseTo(ramp / 32 + 1 - ramp, 12);
  expect(rope.amplitude).toBeCloseTo(0.1 * Math.log(32) + 1, 12);
  expect(latentScale).toBe(1);

  const truncated = full({ rope_theta: 150_000, rope_scaling: scaling }).rope.inverseFrequencies;
  const wide = (12 - 8) / (18 - 8);
  expect(truncated[12]! / base[12]!).toBeCloseTo(wide / 32 + 1 - wide, 12);
});

test('yarn: mscale, attention_factor, and defaults', () => {
  const deepseek = { type: 'yarn', factor: 40, mscale: 0.707, mscale_all_dim: 0.707, beta_fast: 32, beta_slow: 1 };
  const lite = full({ rope_scaling: { ...deepseek, original_max_position_embeddings: 4096 } });
  expect(lite.rope.amplitude).toBe(1);
  expect(lite.latentScale).toBeCloseTo((0.0707 * Math.log(40) + 1) ** 2, 12);
  expect(full({ rope_scaling: { ...deepseek, mscale: 1 } }).rope.amplitude).toBeCloseTo(
    (0.1 * Math.log(40) + 1) / (0.0707 * Math.log(40) + 1),
    12,
  );
  expect(full({ rope_scaling: { type: 'yarn', factor: 4, attention_factor: 1 } }).rope.amplitude).toBe(1);
  const derived = { type: 'yarn', original_max_position_embeddings: 1024 };
  expect(full({ rope_scaling: derived }).rope.amplitude).toBeCloseTo(0.1 * Math.log(4) + 1, 12);
});

test('dynamic is plain up to the longest context, or grows theta once', () => {
  near(frequencies({ rope_scaling: { type: 'dynamic', factor: 4 } }), plain(10_000));
  const grown = frequencies({ rope_scaling: { type: 'dynamic', factor: 1, alpha: 1000 } });
  near(grown, plain(10_000 * 1000 ** (64 / 62)));
});

test('llama3 keeps short waves, divides long ones, and blends between', () => {
  const scaling = {
    rope_type: 'llama3',
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  };
  const f = frequencies({ rope_theta: 500_000, rope_scaling: scaling });
  plain(500_000).forEach((base, j) => {
    const wave = (2 * Math.PI) / base;
    const t = (8192 / wave - 1) / 3;
    const expected = wave < 8192 / 4 ? base : wave > 8192 ? base / 8 : ((1 - t) * base) / 8 + t * base;
    expect(f[j]! / expected).toBeCloseTo(1, 12);
  });
});

test('a part of the head rotates where the family allows it', () => {
  const half = full({ partial_rotary_factor: 0.5 }, { partial: 0.5 }).rope.inverseFrequencies;
  expect(half).toHaveLength(16);
  expect(half[1]).toBeCloseTo(10_000 ** (-2 / 32), 14);
  const inside = { rope_parameters: { rope_theta: 10_000, rope_type: 'default', partial_rotary_factor: 0.25 } };
  expect(full(inside, { partial: 0.5 }).rope.inverseFrequencies).toHaveLength(8);
  expect(full({}, { partial: 0.5 }).rope.inverseFrequencies).toHaveLength(16);
  expect(() => full({ partial_rotary_factor: 0.5 })).toThrow(/partial_rotary_factor must be 1/);
  expect(() => full({ partial_rotary_factor: 0.05 }, { partial: 1 })).toThrow(/even number/);
});

test('one embedding a layer type', () => {
  const of = read({
    rope_parameters: {
      full_attention: { rope_type: 'linear', rope_theta: 1e6, factor: 2 },
      sliding_attention: { rope_type: 'default', rope_theta: 10_000 },
    },
  });
  near(of('sliding_attention').rope.inverseFrequencies, plain(10_000));
  near(
    of('full_attention').rope.inverseFrequencies,
    plain(1e6).map((f) => f / 2),
  );
  const onlyFull = read({ rope_parameters: { full_attention: { rope_theta: 1e6 } } });
  expect(() => onlyFull('sliding_attention')).toThrow(/sliding_attention must be there/);
});

test.each(['mrope', 'ntk'])('%s is refused by name', (kind) => {
  expect(() => full({ rope_scaling: { type: kind, factor: 2 } })).toThrow(UnsupportedModel);
  expect(() => full({ rope_scaling: { type: kind, factor: 2 } })).toThrow(`"${kind}"`);
});

test.each<[string, { [key: string]: Json }]>([
  ['factor below 1', { rope_scaling: { type: 'linear', factor: 0 } }],
  ['dynamic without a factor', { rope_scaling: { type: 'dynamic' } }],
  [
    'two original contexts',
    {
      original_max_position_embeddings: 8,
      rope_scaling: { type: 'yarn', factor: 2, original_max_position_embeddings: 9 },
    },
  ],
  ['no factor', { rope_scaling: { type: 'linear' } }],
  ['theta 0', { rope_theta: 0 }],
  ['theta as text', { rope_theta: '10000' }],
  ['both forms', { rope_scaling: { type: 'linear', factor: 2 }, rope_parameters: { rope_theta: 1e4 } }],
  ['two thetas', { rope_theta: 1e6, rope_parameters: { rope_theta: 1e4 } }],
  ['two kinds', { rope_scaling: { type: 'linear', rope_type: 'yarn', factor: 2 } }],
  ['kind is a number', { rope_scaling: { type: 3 } }],
  ['scaling is text', { rope_scaling: 'linear' }],
])('contradiction or nonsense: %s', (_, config) => {
  expect(() => full(config)).toThrow(InvalidCheckpoint);
});

test('an unknown key inside the scaling is refused by name', () => {
  expect(() => full({ rope_scaling: { type: 'linear', factor: 2, mrope_section: [1] } })).toThrow(/mrope_section/);
});
