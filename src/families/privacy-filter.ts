/** OpenAI's privacy-filter: layers of gpt-oss whose tokens see both ways, within a window, and a head that labels them. */
import { readBase, readExperts, readHeads, readWidth, readWindow } from '../config/axes.ts';
import type { MoeFfn } from '../config/model-config.ts';
import type { ConfigReader } from '../config/read.ts';
import { readRope } from '../config/rope.ts';
import type { Family } from './family.ts';
import { fusedExperts, llamaNames } from './llama-names.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';

const MOST_LABELS = 4096;

const PLACES = ['B', 'I', 'E', 'S'];

/** In the order of their ids: O, and for each kind of span one for its beginning, inside, end, and a span of a single token. */
function readLabels(c: ConfigReader): string[] {
  const named = c.raw('id2label');
  const isObject = named !== null && typeof named === 'object' && !Array.isArray(named);
  const entries = new Map(isObject ? Object.entries(named) : []);
  const labels = Array.from({ length: Math.min(entries.size, MOST_LABELS + 1) }, (_, id) => entries.get(String(id)));
  const isName = (label: unknown): label is string => typeof label === 'string';
  if (!labels.every(isName) || labels.length > MOST_LABELS) return failLabels(c);
  const kinds = labels.filter((label) => label !== 'O').map((label) => label.slice(2));
  const wanted = new Set(['O', ...kinds.flatMap((kind) => PLACES.map((place) => `${place}-${kind}`))]);
  const isComplete = wanted.size === labels.length && labels.every((label) => wanted.has(label));
  return isComplete && new Set(labels).size === labels.length ? labels : failLabels(c);
}

const failLabels = (c: ConfigReader): never =>
  c.fail('id2label', 'an object with a label for each id from 0 on: O, and B-, I-, E-, S- of each kind');

const readMoe = (c: ConfigReader): MoeFfn => ({
  kind: 'moe',
  ...readExperts(c),
  width: readWidth(c, 'intermediate_size'),
  activation: { kind: 'clamped-swiglu', alpha: 1.702, limit: 7 },
  expertBias: true,
  router: softmaxRouter({ score: 'softmax-chosen', logitBias: true }),
  shared: null,
});

const experts = fusedExperts('in-out', { biased: true });

export const privacyFilter: Family = {
  id: 'privacy-filter',
  modelTypes: ['openai_privacy_filter'],
  architectures: ['OpenAIPrivacyFilterForTokenClassification'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'privacy-filter');
    const { hidden, maxContext } = model;
    c.only('tie_word_embeddings', false);
    c.irrelevant('classifier_dropout', 'initial_context_length');
    const heads = readHeads(c, hidden, 64);
    const request = { headSize: heads.headSize, maxContext, theta: 150_000, interleaved: true };
    const { rope } = readRope(c, request)('full_attention');
    const biased = c.boolean('attention_bias', true);
    const mixer = {
      ...groupedAttention(heads, rope, { bias: { qkv: biased, o: biased }, sinks: true }),
      sees: 'step',
      window: readWindow(c) + 1, // a token sees so many on either side
    } as const;
    const ffn = readMoe(c);
    return {
      ...model,
      head: { bias: true, scale: 1, labels: readLabels(c) },
      encoder: { layers: layerCount },
      layers: Array.from({ length: layerCount }, () => ({ mixer, ffn })),
    };
  },

  names: (config) => ({ ...llamaNames(config, { block: 'mlp', router: 'router', experts }), head: 'score' }),
};
