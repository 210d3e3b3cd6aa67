import { expect, test } from 'vitest';
import { longRopeIn, ropeIn } from '../../../src/config/longrope.ts';
import { ConfigReader, type Json } from '../../../src/config/read.ts';
import { readRope } from '../../../src/config/rope.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../../../src/errors.ts';
import { loadConfig } from '../families/checkpoint.ts';

type Keys = { [key: string]: Json };

const FACTORS: Keys = { short_factor: [1, 2], long_factor: [4, 16] };

function read(scaling: Keys, top: Keys = {}): ReturnType<ReturnType<typeof readRope>>['rope'] {
  const c = new ConfigReader({ ...top, rope_scaling: { type: 'longrope', ...FACTORS, ...scaling } });
  const ropes = readRope(c, { headSize: 4, maxContext: 4096, theta: 10_000 });
  c.finish();
  return ropes('full_attention').rope;
}

test('a context of up to the original one has short factors, a longer one long factors at every position', () => {
  const rope = read({ original_max_position_embeddings: 256, short_mscale: 1.1, long_mscale: 1.25 });
  const short = { inverseFrequencies: [1, 0.01 / 2], amplitude: 1.1, interleaved: false };
  const long = { inverseFrequencies: [1 / 4, 0.01 / 16], amplitude: 1.25, interleaved: false };
  expect(ropeIn(rope, 1)).toEqual(short);
  expect(ropeIn(rope, 256)).toEqual(short);
  expect(ropeIn(rope, 257)).toEqual(long);
});

test('cos and sin are multiplied by mscale, else attention_factor, else by what the lengths say', () => {
  const amplitudes = (scaling: Keys, top: Keys = {}): number[] => {
    const rope = read(scaling, top);
    return [rope.amplitude, rope.long!.amplitude];
  };
  const original = { original_max_position_embeddings: 256 };
  const derived = Math.sqrt(1 + Math.log(16) / Math.log(256)); // 4096 / 256
  expect(amplitudes(original)).toEqual([derived, derived]);
  expect(amplitudes({}, original)).toEqual([derived, derived]);
  expect(amplitudes({ ...original, factor: 4 })).toEqual([Math.sqrt(1.25), Math.sqrt(1.25)]);
  expect(amplitudes({ ...original, factor: 4, attention_factor: 1.5 })).toEqual([1.5, 1.5]);
  expect(amplitudes({ ...original, attention_factor: 1.5, long_mscale: 2 })).toEqual([1.5, 2]);
  expect(amplitudes({})).toEqual([1, 1]); // no shorter context than the longest
});

test('the first files call it su', () => {
  expect(read({ type: 'su', original_max_position_embeddings: 256 })).toEqual(
    read({ original_max_position_embeddings: 256 }),
  );
});

test('which factors a context has', () => {
  const { config } = loadConfig('test/fixtures/families/phimoe-longrope');
  expect(longRopeIn(config, 24)).toEqual({ factors: 'short', shortUpTo: 24 });
  expect(longRopeIn(config, 25)).toEqual({ factors: 'long', shortUpTo: 24 });
  expect(longRopeIn(loadConfig('test/fixtures/families/phimoe').config, 25)).toBeNull();
});

test.each<[string, Keys, typeof InvalidCheckpoint | typeof UnsupportedModel, RegExp]>([
  ['too few', { short_factor: [1] }, InvalidCheckpoint, /short_factor must be a list of 2 numbers/],
  ['none', { long_factor: null }, InvalidCheckpoint, /long_factor must be a list of positive numbers/],
  ['a factor of 0', { long_factor: [1, 0] }, InvalidCheckpoint, /long_factor/],
  ['an original context of 1', { original_max_position_embeddings: 1 }, InvalidCheckpoint, /original/],
  ['a key that nobody knows', { beta_fast: 32 }, UnsupportedModel, /beta_fast/],
])('refused: %s', (_, scaling, error, message) => {
  expect(() => read(scaling)).toThrow(error);
  expect(() => read(scaling)).toThrow(message);
});
