import { describe, expect, it } from 'vitest';
import { wholeBuffer, type BufferView } from '../../../src/gpu/buffer.ts';
import { Recorder } from '../../../src/gpu/recording.ts';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { GREEDY, STEP_BYTES, writeStep, type DrawOptions, type SamplingParams } from '../../../src/gpu/step.ts';
import {
  promptCounts,
  readSampled,
  sample,
  SAMPLED_WORDS,
  tokenSetWords,
  type Sample,
  type SampledToken,
} from '../../../src/kernels/sample/sample.ts';
import {
  distribution,
  logSum,
  sample as twin,
  uniformNumber,
  type SampleLimits,
} from '../../../src/reference/sample/sample.ts';
import { expectDistribution } from '../../support/chi-square.ts';
import { asF32, expectMutantToFail, POISON, runKernel } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { firstOfEach, thinned } from '../../support/everyday.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });

const params = (changes: Partial<SamplingParams>): SamplingParams => ({ ...GREEDY, seed: 7, ...changes });
const sampling = (changes: Partial<SamplingParams> = {}): SamplingParams => params({ temperature: 1, ...changes });

/** Absent: the kernel without limits. Empty: the one with them, asked for none. */
interface Limits extends SampleLimits {
  bias?: Float32Array<ArrayBuffer>;
  allowed?: Uint32Array<ArrayBuffer>;
}

/** What the kernel gets: what a request does not ask for has contents that would change everything if they were read. */
const limitsOf = (vocab: number, { bias, allowed }: Limits): Required<Limits> => ({
  bias: bias ?? Float32Array.from({ length: vocab }, (_, id) => 1e9 * ((id * 7) % 5)),
  allowed: allowed ?? new Uint32Array(tokenSetWords(vocab)),
});
const flagsOf = ({ bias, allowed }: Limits = {}): DrawOptions => ({
  isBiased: bias !== undefined,
  isMasked: allowed !== undefined,
});

interface Case {
  name: string;
  logits: Float32Array<ArrayBuffer>;
  counts?: Uint32Array<ArrayBuffer>;
  params: SamplingParams;
  limits?: Limits;
  step?: { tokens: number; position: number };
}

/** u must fall within 1e-5 of the drawn token's share of the twin's CDF: sums of V f32 weights, each off by some 1e-6 of itself. */
function expectDraw(id: number, probabilities: Float64Array, u: number, what: string): void {
  expect(probabilities[id], `${what}: token ${id} was dropped by the reference`).toBeGreaterThan(0);
  let below = 0;
  for (let i = 0; i < id; i++) below += probabilities[i]!;
  expect(u, what).toBeGreaterThan(below - 1e-5);
  expect(u, what).toBeLessThan(below + probabilities[id]! + 1e-5);
}

const ioOf = (v: Readonly<Record<string, BufferView>>, limits?: Limits): Sample => ({
  logits: v.logits!,
  counts: v.counts!,
  sampled: v.sampled!,
  nextIds: v.nextIds!,
  limits: limits && { bias: v.bias!, allowed: v.allowed! },
});

async function check({
  name,
  logits,
  counts,
  params,
  limits,
  step = { tokens: 3, position: 11 },
}: Case): Promise<void> {
  const before = counts ?? new Uint32Array(logits.length);
  const got = await runKernel(gpu, {
    inputs: { logits, ...(limits && limitsOf(logits.length, limits)) },
    outputs: { counts: before, sampled: SAMPLED_WORDS, nextIds: 2 },
    step: { ...step, sampling: { ...params, ...flagsOf(limits) } },
    record: (r, v) => sample(r, name, ioOf(v, limits), { vocab: logits.length }),
  });
  const { id, logprob, brokenLogits } = readSampled(got.sampled!);
  const position = step.position + step.tokens;
  const expected = twin(logits, before, params, position, limits);
  const probabilities = distribution(logits, before, params, limits);
  expectDraw(id, probabilities, uniformNumber(params.seed, position), name);
  expect(got.nextIds, name).toEqual(Uint32Array.of(id, POISON));
  expect(Math.abs(asF32(got.sampled!)[2]! - logSum(logits)), `${name}: log of the sum`).toBeLessThan(2e-5);
  expect(brokenLogits, name).toBe(logits.filter((l) => Number.isNaN(l) || l === Infinity).length);
  if (params.temperature === 0 || id === expected.id) {
    expect(id, name).toBe(expected.id);
    expect(got.counts, name).toEqual(expected.counts);
    // exp and log of a few ulp over sums of up to 1,571 values a lane, plus one rounding of the logit itself.
    const bound = 2e-5 + 2e-7 * Math.abs(logits[id]!);
    if (logits[id]! > -1e30) expect(Math.abs(logprob - expected.logprob), `${name}: logprob`).toBeLessThan(bound);
  }
}

/** One program, run for each seed; creates nothing between runs. */
async function drawMany(
  logits: Float32Array<ArrayBuffer>,
  counts: Uint32Array<ArrayBuffer>,
  runs: readonly SamplingParams[],
  at: (run: number) => number = () => 0,
  limits?: Limits,
): Promise<SampledToken[]> {
  const made: GPUBuffer[] = [];
  const make = (label: string, words: number, usage = 0): BufferView => {
    const buffer = gpu.createBuffer(label, 'staging', words * 4, usage);
    made.push(buffer);
    return wholeBuffer(buffer);
  };
  const io = {
    logits: make('logits', logits.length),
    counts: make('counts', logits.length),
    sampled: make('sampled', SAMPLED_WORDS),
    nextIds: make('next ids', 1),
    limits: limits && {
      bias: make('bias', logits.length),
      allowed: make('allowed', tokenSetWords(logits.length)),
    },
  };
  const results = make('results', SAMPLED_WORDS * runs.length);
  const step = make('step', STEP_BYTES / 4, GPUBufferUsage.UNIFORM);
  gpu.write(io.logits, logits);
  if (io.limits) {
    const { bias, allowed } = limitsOf(logits.length, limits!);
    gpu.write(io.limits.bias, bias);
    gpu.write(io.limits.allowed, allowed);
  }
  let run = 0;
  const recorder = new Recorder(gpu, step);
  sample(recorder, 'draw', io, { vocab: logits.length });
  recorder.copy('keep', () => ({
    from: io.sampled,
    to: { ...results, offset: run * SAMPLED_WORDS * 4 },
    bytes: SAMPLED_WORDS * 4,
  }));
  const program = await recorder.finish();
  const words = new ArrayBuffer(STEP_BYTES);
  for (; run < runs.length; run++) {
    gpu.write(io.counts, counts);
    gpu.write(step, new Uint8Array(writeStep(words, 1, at(run), { ...runs[run]!, ...flagsOf(limits) })));
    const encoder = gpu.device.createCommandEncoder();
    program.encode(encoder, { tokens: 1, position: at(run) });
    gpu.submit(encoder.finish());
  }
  const all = new Uint32Array(await gpu.read(results));
  for (const buffer of made) gpu.destroyBuffer(buffer);
  return runs.map((_, i) => readSampled(all.slice(i * SAMPLED_WORDS, (i + 1) * SAMPLED_WORDS)));
}

const equal = (length: number, value: number): Float32Array<ArrayBuffer> => new Float32Array(length).fill(value);
/** Distinct values, at least 1/16 apart, in an order that looks random: no selection is a matter of rounding. */
const ladder = (length: number, start = -3): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length }, (_, i) => start + ((i * 37) % length) / 16);
const withValues = (base: Float32Array<ArrayBuffer>, values: Record<number, number>): Float32Array<ArrayBuffer> => {
  for (const [id, value] of Object.entries(values)) base[Number(id)] = value;
  return base;
};
const seen = (length: number, words: Record<number, number>): Uint32Array<ArrayBuffer> => {
  const counts = promptCounts([0, 5, 9], length);
  for (const [id, times] of Object.entries(words)) counts[Number(id)]! += times;
  return counts;
};

/** A set of the ids for which `isIn` holds; the unused bits of the last word are ones, as if somebody had not cleared them. */
const setOf = (vocab: number, isIn: (id: number) => boolean): Uint32Array<ArrayBuffer> => {
  const words = new Uint32Array(tokenSetWords(vocab));
  for (let id = 0; id < 32 * words.length; id++) if (id >= vocab || isIn(id)) words[id >> 5]! |= 1 << (id & 31);
  return words;
};

const penalties = { repetitionPenalty: 1.3, presencePenalty: 0.4, frequencyPenalty: 0.2 };
const greedy: Case[] = [
  {
    name: 'greedy_ties_at_lane_and_workgroup_distance',
    logits: withValues(equal(1000, -2), { 800: 3, 417: 3, 289: 3 }),
    params: params({}),
  },
  { name: 'greedy_equal_logits', logits: equal(65, 4), params: params({}) },
  { name: 'greedy_signed_zeros_tie', logits: withValues(equal(70, -1), { 3: -0, 60: 0 }), params: params({}) },
  { name: 'greedy_all_negative', logits: normals(1, 577, 1, -50), params: params({}) },
  { name: 'greedy_large_logits', logits: normals(2, 577, 1e4), params: params({}) },
  { name: 'greedy_last_of_many', logits: withValues(normals(3, 1000), { 999: 9 }), params: params({}) },
  {
    name: 'greedy_penalties',
    logits: withValues(equal(64, -4), { 5: 2, 7: 1.9, 9: 1.8, 11: 1.7 }),
    counts: seen(64, { 7: 2, 9: 1 }),
    params: params(penalties),
  },
  {
    name: 'greedy_penalties_on_negative_logits',
    logits: withValues(equal(64, -9), { 5: -1, 7: -1.1, 9: -1.2 }),
    counts: seen(64, { 7: 2 }),
    params: params(penalties),
  },
  {
    name: 'greedy_presence_alone',
    logits: withValues(equal(64, 0), { 7: 2, 8: 1.9 }),
    counts: seen(64, { 7: 9 }),
    params: params({ presencePenalty: 0.5 }),
  },
  {
    name: 'greedy_presence_spares_the_prompt',
    logits: withValues(equal(64, 0), { 9: 2, 8: 1.9 }),
    counts: seen(64, {}),
    params: params({ presencePenalty: 0.5 }),
  },
  {
    name: 'greedy_count_saturates',
    logits: withValues(equal(64, 0), { 7: 9 }),
    counts: seen(64, { 7: 0xffff }),
    params: params({}),
  },
  {
    name: 'greedy_masked',
    logits: withValues(equal(64, -Infinity), { 40: -1e29, 41: -3e38, 50: -1e29 }),
    params: params({}),
  },
  { name: 'greedy_all_masked', logits: equal(64, -Infinity), params: params({}) },
  { name: 'greedy_nan_is_told', logits: withValues(normals(4, 64), { 3: NaN, 9: NaN }), params: params({}) },
  { name: 'greedy_infinity_is_told', logits: withValues(normals(4, 64), { 33: Infinity }), params: params({}) },
];
const limited: Case[] = [
  { name: 'limits_unasked', logits: normals(21, 577), limits: {}, params: params({}) },
  {
    name: 'bias_moves_the_best',
    logits: withValues(equal(65, 0), { 3: 2, 64: 1 }),
    limits: { bias: withValues(equal(65, 0), { 64: 1.5 }) },
    params: params({}),
  },
  {
    name: 'bias_comes_before_penalties', // (1 - 3) * 1.3 < -2.1 < 1 / 1.3 - 3
    logits: withValues(equal(64, -9), { 5: 1, 7: -2.5 }),
    counts: seen(64, {}),
    limits: { bias: withValues(equal(64, 0), { 5: -3 }) },
    params: params(penalties),
  },
  {
    name: 'bias_wakes_no_masked_logit',
    logits: withValues(equal(64, -Infinity), { 9: -5 }),
    limits: { bias: withValues(equal(64, 0), { 40: 99 }) },
    params: params({}),
  },
  ...[1, 31, 32, 33, 65, 577].map((vocab): Case => ({
    name: `mask_of_the_last_${vocab}`,
    logits: withValues(normals(vocab, vocab), { [vocab - 1]: -40 }),
    limits: { allowed: setOf(vocab, (id) => id === vocab - 1) },
    params: sampling(),
  })),
  {
    name: 'mask_greedy_tie_goes_to_the_lower_allowed_id',
    logits: withValues(equal(100, 0), { 31: 3, 32: 3, 64: 3 }),
    limits: { allowed: setOf(100, (id) => id >= 32) },
    params: params({}),
  },
  {
    name: 'mask_with_nothing_but_masked_logits',
    logits: withValues(equal(70, -Infinity), { 3: 5 }),
    limits: { allowed: setOf(70, (id) => id > 66) },
    params: sampling(),
  },
  {
    name: 'mask_of_none_stays_in_the_vocabulary',
    logits: normals(5, 70),
    limits: { allowed: setOf(70, () => false) },
    params: sampling({ topK: 3, topP: 0.5 }),
  },
];
const single = [1, 2, 63, 64, 65, 577, 1000].map((vocab): Case => ({
  name: `vocab_${vocab}`,
  logits: normals(vocab, vocab, 2),
  params: sampling(),
}));
const filters: Case[] = [
  { name: 'top_k_one', logits: ladder(577), params: sampling({ topK: 1 }) },
  { name: 'top_k_all', logits: ladder(100), params: sampling({ topK: 100 }) },
  { name: 'top_k_more_than_all', logits: ladder(100), params: sampling({ topK: 4_000_000_000 }) },
  {
    name: 'top_k_of_masked',
    logits: withValues(equal(100, -Infinity), { 7: 1, 70: 0 }),
    params: sampling({ topK: 5 }),
  },
  { name: 'top_p_tiny', logits: ladder(577), params: sampling({ topP: 1e-6 }) },
  { name: 'top_p_too_small_for_f32', logits: ladder(577), params: sampling({ topP: 1e-50 }) },
  {
    name: 'penalties_overflow',
    logits: ladder(64),
    counts: seen(64, { 19: 0xffff, 26: 3 }),
    params: sampling({ repetitionPenalty: 1e-50, frequencyPenalty: 1e38 }),
  },
  { name: 'every_token_masked', logits: equal(100, -1e38), params: sampling({ topK: 5, topP: 0.5 }) },
  { name: 'cold', logits: ladder(577), params: sampling({ temperature: 0.01 }) },
  { name: 'coldest', logits: ladder(577), params: sampling({ temperature: 1e-30 }) },
  {
    name: 'hot_does_not_melt_the_mask',
    logits: withValues(equal(577, -Infinity), { 7: 1, 300: 2, 301: -3e38 }),
    params: sampling({ temperature: 1e32 }),
  },
  { name: 'no_token', logits: normals(1, 4), params: sampling(), step: { tokens: 0, position: 5 } },
];

interface Draws {
  name: string;
  logits: Float32Array<ArrayBuffer>;
  counts?: Uint32Array<ArrayBuffer>;
  params: Partial<SamplingParams>;
  limits?: Limits;
  draws: number;
}
const many: Draws[] = [
  { name: 'plain', logits: ladder(65), params: {}, draws: 60 },
  { name: 'top_k', logits: ladder(577), params: { topK: 9 }, draws: 40 },
  {
    name: 'top_k_ties_at_the_threshold',
    logits: withValues(equal(300, -9), { 3: 1, 40: 1, 41: 1, 200: 1, 299: 2 }),
    params: { topK: 3 },
    draws: 40,
  },
  { name: 'top_k_of_equal_logits', logits: equal(300, 0.5), params: { topK: 7 }, draws: 40 },
  { name: 'top_p', logits: ladder(101), params: { topP: 0.9 }, draws: 60 },
  { name: 'top_p_of_equal_logits', logits: equal(300, -0.5), params: { topP: 0.0217 }, draws: 40 },
  { name: 'top_p_after_top_k', logits: ladder(101), params: { topK: 12, topP: 0.55 }, draws: 60 },
  { name: 'min_p', logits: ladder(101), params: { minP: 0.33 }, draws: 60 },
  {
    name: 'all_filters',
    logits: ladder(577),
    params: { temperature: 1.7, topK: 50, topP: 0.83, minP: 0.3 },
    draws: 60,
  },
  { name: 'hot', logits: ladder(101), params: { temperature: 1e6 }, draws: 40 },
  {
    name: 'penalties',
    logits: ladder(64),
    counts: seen(64, { 7: 2, 19: 1, 26: 3, 45: 1 }),
    params: penalties,
    draws: 60,
  },
  {
    name: 'top_k_of_the_allowed',
    logits: ladder(577),
    params: { topK: 9 },
    limits: { allowed: setOf(577, (id) => id % 3 === 1) },
    draws: 40,
  },
  {
    name: 'top_p_of_the_biased',
    logits: ladder(101),
    params: { topP: 0.8 },
    limits: { bias: Float32Array.from({ length: 101 }, (_, id) => (id % 7) - 3.03) },
    draws: 40,
  },
  {
    name: 'vocab_50304_limited',
    logits: normals(15, 50304, 2.5),
    params: { topP: 0.95 },
    limits: { bias: normals(16, 50304), allowed: setOf(50304, (id) => id % 5 > 1) },
    draws: 3,
  },
  { name: 'vocab_50304', logits: normals(5, 50304, 2.5), params: { topK: 200, topP: 0.95 }, draws: 3 },
];

async function checkMany({
  name,
  logits,
  counts = new Uint32Array(logits.length),
  params,
  limits,
  draws,
}: Draws): Promise<void> {
  const runs = Array.from({ length: draws }, (_, seed) => sampling({ ...params, seed: seed * 977 }));
  const tokens = await drawMany(logits, counts, runs, (run) => run, limits);
  const probabilities = distribution(logits, counts, runs[0]!, limits);
  tokens.forEach(({ id }, i) =>
    expectDraw(id, probabilities, uniformNumber(runs[i]!.seed, i + 1), `${name}, draw ${i}`),
  );
}

describe('sample/sample', () => {
  it.each(thinned([...greedy, ...limited, ...single, ...filters.slice(0, -1)], 6))('$name', check);
  it('no_token', async () => {
    const { logits, params, step } = filters.at(-1)!;
    const got = await runKernel(gpu, {
      inputs: { logits },
      outputs: { counts: new Uint32Array(4), sampled: SAMPLED_WORDS, nextIds: 1 },
      step: { ...step!, sampling: params },
      record: (r, v) => sample(r, 'none', ioOf(v), { vocab: 4 }),
    });
    expect([...got.counts!, ...got.sampled!, ...got.nextIds!]).toEqual([0, 0, 0, 0, ...Array<number>(5).fill(POISON)]);
  });
  it.each(thinned(many, 6))('draws of $name', checkMany);
  it.each(thinned([40_000, 201_088], 2))('a vocabulary of %i', async (vocab) => {
    const logits = normals(6, vocab, 2);
    await check({ name: `vocab_${vocab}`, logits, params: sampling({ topP: 0.9, topK: 4000 }) });
  });

  const slope = Float32Array.from({ length: 33 }, (_, i) => ((i * 10) % 33) / -9);
  const limits: Limits = {
    bias: Float32Array.from(slope, (_, i) => (i % 3) / 2),
    allowed: setOf(33, (id) => id % 4 > 0),
  };
  it.each(
    firstOfEach<[string, Partial<SamplingParams>, Limits | undefined]>(
      [
        ['nothing asked', {}, undefined],
        ['a temperature', { temperature: 0.6 }, undefined],
        ['top_k', { topK: 9 }, undefined],
        ['top_p', { topP: 0.7 }, undefined],
        ['min_p', { minP: 0.2 }, undefined],
        ['a bias', {}, { bias: limits.bias! }],
        ['a mask', {}, { allowed: limits.allowed! }],
        ['all of them', { temperature: 1.4, topK: 18, topP: 0.9, minP: 0.1 }, limits],
      ],
      () => 'one',
    ),
  )('draws with the right frequencies: %s', async (name, changes, limits) => {
    const runs = Array.from({ length: 700 }, (_, seed) => sampling({ seed, ...changes }));
    const counts = new Uint32Array(slope.length);
    // Half by seed, half by position: both must vary the number.
    const tokens = await drawMany(slope, counts, runs, (run) => (run % 2) * run, limits);
    expectDistribution(
      tokens.map(({ id }) => id),
      distribution(slope, counts, runs[0]!, limits),
      name,
    );
  });

  it('gives the same token for the same seed and position, whatever came before', async () => {
    const logits = normals(8, 1000);
    const seeds = [1, 2, 3, 2, 1, 3].map((seed) => sampling({ seed }));
    const ids = (await drawMany(logits, new Uint32Array(1000), seeds)).map((t) => t.id);
    expect([ids[4], ids[3], ids[5]]).toEqual(ids.slice(0, 3));
    expect(new Set(ids).size).toBe(3);
  });

  const byName =
    (...names: string[]) =>
    async (): Promise<void> => {
      for (const c of [...greedy, ...limited, ...single, ...filters]) if (names.includes(c.name)) await check(c);
      for (const c of many) if (names.includes(c.name)) await checkMany(c);
    };
  it.each(
    firstOfEach<[string, string, string, () => Promise<void>]>(
      [
        [
          'lets the higher id win a tie',
          'a.id < b.id',
          'a.id > b.id',
          byName('greedy_ties_at_lane_and_workgroup_distance'),
        ],
        ['multiplies positive logits by the penalty', 'raw > 0.0);', 'raw < 0.0);', byName('greedy_penalties')],
        ['punishes presence in the prompt', 'times > 0u', 'count > 0u', byName('greedy_presence_spares_the_prompt')],
        ['forgets the frequency', '* f32(times)', '', byName('greedy_penalties', 'penalties')],
        ['overflows the count', 'select(0u, 1u, (count & TIMES) < TIMES)', '1u', byName('greedy_count_saturates')],
        ['draws masked tokens', 'if (value <= MASKED) { return 0.0; }', '', byName('hot_does_not_melt_the_mask')],
        [
          'keeps every tie of top-k',
          'is_kept = known < kept.key || (known == kept.key && id < kept.end)',
          'is_kept = known <= kept.key',
          byName('top_k_ties_at_the_threshold', 'top_k_of_equal_logits'),
        ],
        ['keeps one token too few', 'sum < bracket.goal', 'sum + totals[i] < bracket.goal', byName('top_p', 'top_k')],
        [
          'takes top-p of all tokens',
          'max(u_step.top_p, 1e-30) * total',
          'u_step.top_p',
          byName('top_p_after_top_k', 'top_p'),
        ],
        ['forgets min-p', 'w < u_step.min_p', 'false', byName('min_p')],
        ['ignores the position', 'u_step.position + u_step.tokens', 'u_step.tokens', byName('plain')],
        ['ignores the seed', 'u_step.seed ^ ', '', byName('plain')],
        [
          'reports the penalised probability',
          'logit(id) - all.highest',
          'best - all.highest',
          byName('vocab_577', 'vocab_1000'),
        ],
        ['forgets the bias', 'raw + bias[id]', 'raw', byName('bias_moves_the_best')],
        ['biases unasked', '(u_step.draw & 1u) != 0u', 'true', byName('limits_unasked')],
        [
          'penalises by the sign before the bias',
          'u_step.repetition_penalty, raw > 0.0',
          'u_step.repetition_penalty, from_model > 0.0',
          byName('bias_comes_before_penalties'),
        ],
        ['masks unasked', '(u_step.draw & 2u) != 0u &&', '', byName('limits_unasked')],
        ['takes the mask by bytes', 'id >> 5u', 'id >> 3u', byName('mask_of_the_last_577')],
        [
          'lets forbidden tokens tie',
          'FORBIDDEN: f32 = -3e38',
          'FORBIDDEN: f32 = -1e30',
          byName('mask_with_nothing_but_masked_logits'),
        ],
        [
          'skips the last digit of the id',
          'digit < KEY_DIGITS + ID_DIGITS',
          'digit < KEY_DIGITS + ID_DIGITS - 1u',
          byName('plain'),
        ],
      ],
      () => 'one',
    ),
  )('notices a kernel that %s', async (_what, from, to, suite) => {
    await expectMutantToFail(gpu, shaderText, 'sample/sample', (text) => text.replace(from, to), suite);
  });

  it.each(
    firstOfEach<[string, string, string, () => Promise<void>]>(
      [
        ['tells the zeros apart', 'bits == 0x80000000u', 'false', byName('greedy_signed_zeros_tie')],
        [
          'lets masked logits differ',
          'clamp(bitcast<f32>(bits), MASKED, -MASKED)',
          'bitcast<f32>(bits)',
          byName('every_token_masked', 'hot_does_not_melt_the_mask'),
        ],
      ],
      () => 'one',
    ),
  )('notices an order of logits that %s', async (_what, from, to, suite) => {
    await expectMutantToFail(gpu, shaderText, 'shared/logits', (text) => text.replace(from, to), suite);
  });
});
