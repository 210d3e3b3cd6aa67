/** What configs of privacy-filter come to, and what of them is refused. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { readModelConfig } from '../../../src/config/load.ts';
import { parameterCounts } from '../../../src/config/parameters.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../../../src/errors.ts';
import type { JsonObject } from '../config/published.ts';

const CONFIG = JSON.parse(readFileSync('test/fixtures/families/privacy-filter/config.json', 'utf8')) as JsonObject;
const read = (changes: JsonObject) => readModelConfig(JSON.stringify({ ...CONFIG, ...changes })).config;

test('an encoder alone whose tokens see seven on either side, with labels in the order of their ids', () => {
  const { encoder, head, layers } = read({});
  expect(encoder).toEqual({ layers: 3 });
  expect(head.labels).toHaveLength(9);
  expect(head.labels!.slice(0, 3)).toEqual(['O', 'B-private_person', 'I-private_person']);
  expect(layers[0]!.mixer).toMatchObject({ sees: 'step', window: 8, sinks: true, rope: { interleaved: true } });
  expect(layers[0]!.ffn).toMatchObject({
    topK: 2,
    expertBias: true,
    router: { score: 'softmax-chosen', logitBias: true },
  });
});

test('the release has 1.40 B parameters by its config, 50 M active beside the embedding (its page: 1.5 B and 50 M)', () => {
  const kinds = Array.from({ length: 8 }, (_, kind) => ['B', 'I', 'E', 'S'].map((place) => `${place}-${kind}`)).flat();
  const config = read({
    ...{ hidden_size: 640, intermediate_size: 640, head_dim: 64, num_attention_heads: 14, num_hidden_layers: 8 },
    ...{ num_local_experts: 128, num_experts_per_tok: 4, vocab_size: 200_064 },
    id2label: Object.fromEntries(['O', ...kinds].map((label, id) => [id, label])),
  });
  const { total, active, embedding } = parameterCounts(config);
  expect(total / 1e9).toBeCloseTo(1.4, 2);
  expect((active - embedding) / 1e6).toBeCloseTo(50.6, 0);
});

test.each([
  [{}],
  [null],
  [['O']],
  [{ 0: 'O', 2: 'B-a' }],
  [{ 0: 'O', 1: 5 }],
  [{ 0: 'O', 1: 'B-a', 2: 'I-a' }],
  [{ 0: 'O', 1: 'O' }],
])('labels %j are refused', (id2label) => {
  expect(() => read({ id2label } as JsonObject)).toThrow(InvalidCheckpoint);
  expect(() => read({ id2label } as JsonObject)).toThrow('id2label');
});

test.each([[{ tie_word_embeddings: true }], [{ architectures: ['OpenAIPrivacyFilterModel'] }]])(
  'refuses %j',
  (changes) => {
    expect(() => read(changes)).toThrow(UnsupportedModel);
  },
);
