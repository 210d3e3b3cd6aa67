import { describe, expect, test } from 'vitest';
import { referenceModel, type ReferenceRun, type Route } from '../../../src/reference/model.ts';
import { route } from '../../../src/reference/model/moe.ts';
import {
  decoder,
  FAMILY_FIXTURES,
  FORMAT_FIXTURES,
  hasEncoder,
  loadConfig,
  numbers,
  readGolden,
  readModel,
  readSafetensors,
} from '../families/checkpoint.ts';

/**
 * The golden values are f32: 24 bits through a few layers of sums of 64 terms. Their own rounding is the bound; 2e-5 of the RMS is some
 * 300 f32 steps, and fifty times tighter than what the engine is held to.
 */
const BOUND = 2e-5;
/** transformers runs a gated delta net in chunks, through products of many decays: 6e-5 from the recurrence itself. */
const boundOf = (folder: string): number => (/qwen3-(next|5-moe)$/.test(folder) ? 2e-4 : BOUND);

function relative(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let worst = 0;
  let squares = 0;
  for (let i = 0; i < expected.length; i++) {
    worst = Math.max(worst, Math.abs(actual[i]! - expected[i]!));
    squares += expected[i]! ** 2;
  }
  return worst / Math.sqrt(squares / expected.length);
}

const flat = (rows: readonly (readonly Float64Array[])[]): Float64Array =>
  Float64Array.from(rows.flatMap((tokens) => tokens.flatMap((t) => [...t])));
const byId = ({ ids, weights }: Route): [number, number][] =>
  ids.map((id, i): [number, number] => [id, weights[i]!]).sort(([a], [b]) => a - b);

interface Compared {
  readonly run: ReferenceRun;
  readonly golden: (name: string) => Float64Array;
  readonly has: (name: string) => boolean;
}

/** The prompt and its golden continuation in one run: attention looks back only, so every next token is checked at once. */
function compare(folder: string, tensors = readGolden(folder)): Compared {
  const { config, names } = loadConfig(folder);
  const golden = (name: string): Float64Array => numbers(tensors.get(name)!);
  const ids = [...golden('prompt_ids'), ...golden('greedy_ids').slice(0, -1)];
  return {
    run: referenceModel(config, names, decoder(readModel(folder)), ids),
    golden,
    has: (name) => tensors.has(name),
  };
}

const largestIndex = (x: Float64Array): number => x.indexOf(Math.max(...x));

const ONE_STACK = FAMILY_FIXTURES.filter((folder) => !hasEncoder(folder));

test.each([...ONE_STACK, ...FORMAT_FIXTURES])('%s: logits and greedy continuation', (folder) => {
  const { run, golden } = compare(folder);
  const prompt = golden('prompt_ids').length;
  expect(relative(flat([run.logits.slice(0, prompt)]), golden('logits'))).toBeLessThan(boundOf(folder));
  expect(run.logits.slice(prompt - 1).map(largestIndex)).toEqual([...golden('greedy_ids')]);
});

test.each(ONE_STACK)('%s: residual stream and routing of every layer', (folder) => {
  const { run, golden, has } = compare(folder);
  const prompt = golden('prompt_ids').length;
  // The golden's last entry is after the final norm.
  const stream = flat([...run.hidden.slice(0, -1), run.final].map((tokens) => tokens.slice(0, prompt)));
  expect(relative(stream, golden('hidden'))).toBeLessThan(boundOf(folder));

  if (!has('topk_ids')) return; // of JetMoE, which has two routers a layer, none were recorded
  const pairs = run.routes.flatMap((layer) => layer.slice(0, prompt).flatMap(byId));
  expect(pairs.map(([id]) => id)).toEqual([...golden('topk_ids')]);
  const given = golden('topk_weights');
  pairs.forEach(([, weight], i) => expect(Math.abs(weight - given[i]!)).toBeLessThan(boundOf(folder)));
});

test('longrope within the context of pretraining: short factors', () => {
  const folder = 'test/fixtures/families/phimoe-longrope';
  const { run, golden } = compare(folder, readSafetensors(`${folder}/golden-short.safetensors`));
  const prompt = golden('prompt_ids').length;
  expect(relative(flat([run.logits.slice(0, prompt)]), golden('logits'))).toBeLessThan(BOUND);
  expect(run.logits.slice(prompt - 1).map(largestIndex)).toEqual([...golden('greedy_ids')]);
});

describe('router', () => {
  const base = {
    score: 'softmax',
    logitBias: false,
    selectionBias: false,
    groups: null,
    renormalize: null,
    scale: 1,
  } as const;
  const logits = Float64Array.from([1, 3, 2, 3, 0, -1, 2.5, -2]);

  test('ties go to the lower id', () => {
    expect(route(logits, null, 3, base).ids).toEqual([1, 3, 6]);
  });

  test('softmax of the chosen is softmax of all, renormalised', () => {
    const all = route(logits, null, 4, { ...base, renormalize: { epsilon: 0 } });
    const chosen = route(logits, null, 4, { ...base, score: 'softmax-chosen' });
    expect(chosen.ids).toEqual(all.ids);
    chosen.weights.forEach((w, i) => expect(w).toBeCloseTo(all.weights[i]!, 14));
  });

  test('a selection bias moves the choice, not the weight', () => {
    const bias = Float64Array.from([0, 0, 0, 0, 9, 0, 0, 0]);
    const { ids, weights } = route(logits, bias, 2, { ...base, score: 'sigmoid', selectionBias: true, scale: 2 });
    expect(ids).toEqual([4, 1]);
    expect(weights[0]).toBe(1); // 2 sigmoid(0)
  });

  test('groups: by the largest, and by the two largest', () => {
    const groups = { count: 4, keep: 1, dropped: 'minus-infinity' } as const;
    const x = Float64Array.from([5, -5, 3, 2.9, 4, 0, 1, 1]);
    const choose = (rank: 'max' | 'top2-sum'): readonly number[] =>
      route(x, null, 2, { ...base, score: 'softmax-chosen', groups: { ...groups, rank } }).ids;
    expect(choose('max')).toEqual([0, 1]);
    expect(choose('top2-sum')).toEqual([2, 3]);
  });
});
