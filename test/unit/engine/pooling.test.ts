import { expect, test } from 'vitest';
import { readPooling } from '../../../src/engine/pooling.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../../../src/errors.ts';

test.each([
  [
    'as nomic-embed-text-v2-moe has it',
    { word_embedding_dimension: 768, pooling_mode_cls_token: false, pooling_mode_mean_tokens: true },
    'mean',
  ],
  ['the first token', { pooling_mode_cls_token: true }, 'first'],
  ['the last token', { pooling_mode_lasttoken: true }, 'last'],
  ['by name', { pooling_mode: 'cls' }, 'first'],
  ['nothing', { word_embedding_dimension: 768 }, undefined],
])('%s', (_, config, want) => expect(readPooling(JSON.stringify(config))).toBe(want));

test('nothing is said without the file, and what else it says is refused by name', () => {
  expect(readPooling(null)).toBeUndefined();
  expect(() => readPooling('{"pooling_mode_max_tokens":true}')).toThrow(/max_tokens/);
  expect(() => readPooling('{"pooling_mode_mean_tokens":true,"pooling_mode_cls_token":true}')).toThrow(
    UnsupportedModel,
  );
  expect(() => readPooling('{"pooling_mode":"weightedmean"}')).toThrow(UnsupportedModel);
  for (const text of ['[]', 'not JSON']) expect(() => readPooling(text)).toThrow(InvalidCheckpoint);
});
