import { expect, it } from 'vitest';
import { pageBytes } from '../../../../src/engine/serving/sizes.ts';
import { UnsupportedModel } from '../../../../src/errors.ts';
import { loadConfig } from '../../families/checkpoint.ts';

it.each([
  ['jamba', 'mamba-1'],
  ['yuan', 'attention with a filter'],
  ['zaya', 'convolved attention'],
])('several requests at once are refused where tokens leave a state: %s', (family, mixer) => {
  const { config } = loadConfig(`test/fixtures/families/${family}`);
  expect(() => pageBytes(config)).toThrow(UnsupportedModel);
  expect(() => pageBytes(config)).toThrow(`mixes tokens by ${mixer}: load without requests`);
});
