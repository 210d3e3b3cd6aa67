/** What a request asks of the sampler: bias, bans, a constraint, log-probabilities; what that costs; and vectors for texts. */
import { afterAll, describe, expect, it } from 'vitest';
import type { GenerateOptions, GeneratedToken, GenerateSummary } from '../../src/engine/generation.ts';
import { loadOn } from '../../src/engine/load.ts';
import type { Model } from '../../src/engine/model.ts';
import { InvalidRequest } from '../../src/errors.ts';
import { GREEDY } from '../../src/gpu/step.ts';
import { distribution } from '../../src/reference/sample/sample.ts';
import { topLogprobs } from '../../src/reference/sample/top_logprobs.ts';
import { withByteTokens } from '../support/byte-tokens.ts';
import { expectDistribution } from '../support/chi-square.ts';
import { openModelGpu } from '../support/gpu.ts';
import { filesOf, fixturePath, withModel } from '../support/models.ts';
import { memorySource } from '../support/weights.ts';

const gpu = await openModelGpu();
const FOLDER = fixturePath('families/olmoe');
const END = 2;
const V = 256;
const prompt = [...'tell me about bytes'].map((c) => c.charCodeAt(0));
const model = await loadOn(gpu.share(), memorySource(withByteTokens(filesOf(FOLDER))), {
  contextLength: 128,
  prefillChunk: 16,
});
afterAll(() => model.dispose());

interface Run {
  readonly tokens: readonly GeneratedToken[];
  readonly ids: readonly number[];
  readonly summary: GenerateSummary;
}

async function generate(options: GenerateOptions, on: Model = model): Promise<Run> {
  const tokens: GeneratedToken[] = [];
  const running = on.generate({ ids: prompt }, options);
  for (;;) {
    const next = await running.next();
    if (next.done) return { tokens, ids: tokens.map((t) => t.id), summary: next.value };
    tokens.push(next.value);
  }
}

/** Logits of the token after the prompt and `ids`. */
async function logitsAfter(ids: readonly number[] = []): Promise<Float32Array> {
  const { logits } = await model.logits([...prompt, ...ids]);
  return logits.subarray(logits.length - V);
}

const refused = async (options: GenerateOptions, on = model): Promise<string> => {
  const error = await generate(options, on).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(InvalidRequest);
  return (error as InvalidRequest).message;
};

const likeliest = async (n: number): Promise<number[]> => topLogprobs(await logitsAfter(), n).map(({ id }) => id);
const ONE = { temperature: 0, ignoreEnd: true, maxTokens: 1 } as const;

describe('a bias', () => {
  it('bans with -100, forces with 100, and moves with what is between', async () => {
    const [first, second, third] = (await likeliest(3)) as [number, number, number];
    const gap = (await logitsAfter())[first]! - (await logitsAfter())[third]!;
    const draw = async (logitBias: Record<number, number>): Promise<number> =>
      (await generate({ ...ONE, logitBias })).ids[0]!;
    expect(await draw({})).toBe(first);
    expect(await draw({ [first]: -100 })).toBe(second);
    expect(await draw({ [first]: -100, [second]: -100 })).toBe(third);
    expect(await draw({ 201: 100 })).toBe(201);
    expect(await draw({ [third]: gap + 0.01 })).toBe(third);
    expect(await draw({ [third]: gap - 0.01 })).toBe(first);
    expect((await generate({ ...ONE, temperature: 1e30, maxTokens: 12, logitBias: { 5: 100, 6: 100 } })).ids).toSatisfy(
      (ids: number[]) => ids.every((id) => id === 5 || id === 6) && new Set(ids).size === 2,
    );
  });

  it('leaves log-probabilities as the model has them', async () => {
    const run = await generate({ ...ONE, logitBias: { 201: 100 } });
    const plain = topLogprobs(await logitsAfter(), V).find(({ id }) => id === 201)!;
    expect(Math.abs(run.tokens[0]!.logprob - plain.logprob)).toBeLessThan(1e-4);
  });

  it('is of one request', async () => {
    const plain = await generate({ ...ONE, maxTokens: 4 });
    await generate({ ...ONE, maxTokens: 4, logitBias: { [plain.ids[0]!]: -100, [plain.ids[1]!]: 50 } });
    expect((await generate({ ...ONE, maxTokens: 4 })).ids).toEqual(plain.ids);
  });
});

describe('log-probabilities', () => {
  it('of the likeliest tokens, in order, with their bytes', async () => {
    const options = { temperature: 1.5, seed: 4, ignoreEnd: true, maxTokens: 4, topLogprobs: 20, logitBias: { 9: 3 } };
    const run = await generate(options);
    for (const [i, token] of run.tokens.entries()) {
      const want = topLogprobs(await logitsAfter(run.ids.slice(0, i)), 20);
      expect(token.topLogprobs!.map(({ id }) => id)).toEqual(want.map(({ id }) => id));
      token.topLogprobs!.forEach(({ id, logprob, bytes }, rank) => {
        expect(Math.abs(logprob - want[rank]!.logprob)).toBeLessThan(1e-4);
        expect([...bytes]).toEqual([id]);
        if (id === token.id) expect(logprob).toBe(token.logprob);
      });
    }
    expect((await generate({ ...options, topLogprobs: 0 })).ids).toEqual(run.ids);
  });

  it('come only when asked for; bytes always', async () => {
    const [token] = (await generate(ONE)).tokens;
    expect(token).not.toHaveProperty('topLogprobs');
    expect([...token!.bytes!]).toEqual([token!.id]);
  });
});

it('what is drawn has the frequencies of the distribution that was asked for', async () => {
  const [a, b, c, d] = (await likeliest(4)) as [number, number, number, number];
  const options = { temperature: 1.3, topK: 12, topP: 0.95, logitBias: { [a]: -100, [b]: 0.5, [d]: 1.25, [c]: -0.5 } };
  const drawn: number[] = [];
  for (let seed = 0; seed < 160; seed++) drawn.push(...(await generate({ ...ONE, ...options, seed })).ids);
  const bias = Float32Array.from({ length: V }, (_, id) => options.logitBias[id] ?? 0);
  const allowed = new Uint32Array(V / 32).fill(0xffffffff);
  allowed[a >> 5]! &= ~(1 << (a & 31));
  const params = { ...GREEDY, ...options };
  expectDistribution(
    drawn,
    distribution(await logitsAfter(), new Uint32Array(V), params, { bias, allowed }),
    'generate',
  );
  expect((await generate({ ...ONE, ...options, seed: 7 })).ids).toEqual([drawn[7]]);
});

describe('a constraint', () => {
  const said = (run: Run): string =>
    new TextDecoder().decode(Uint8Array.from(run.tokens.flatMap((t) => [...t.bytes!])));

  it('is kept to, and ends the answer', async () => {
    const run = await generate({ temperature: 2, seed: 1, constraint: { anyOf: ['yes, certainly', 'no'] } });
    expect(['yes, certainly', 'no']).toContain(run.summary.text);
    expect(run.summary.finishReason).toBe('stop');
    expect(said(run)).toBe(run.summary.text);
    expect(run.summary.generatedTokens).toBe(run.summary.text.length); // one byte a token: no end token was needed
  });

  it('keeps every blank, also where the tokenizer would tidy up', async () => {
    const tidy = withByteTokens(filesOf(FOLDER), { clean_up_tokenization_spaces: true });
    await using tidied = await loadOn(gpu.share(), memorySource(tidy), { contextLength: 128 });
    const answer = tidied.generate({ ids: prompt }, { constraint: 'a , b .' });
    for (;;) {
      const { value, done } = await answer.next();
      if (!done) continue;
      expect(value.text).toBe('a , b .');
      return;
    }
  });

  it('gives JSON that fits its schema at any temperature, in as many tokens as there are', async () => {
    const schema = {
      type: 'object',
      properties: {
        name: { type: 'string', maxLength: 4 },
        age: { type: 'integer' },
        tags: { type: 'array', items: { enum: ['ä', 'b'] } },
      },
      required: ['name', 'age', 'tags'],
      additionalProperties: false,
    };
    for (const seed of [1, 2, 3]) {
      const run = await generate({ temperature: 1 + seed, seed, maxTokens: 60, constraint: { schema } });
      const value = JSON.parse(run.summary.text) as Record<string, unknown>;
      expect(Object.keys(value)).toEqual(['name', 'age', 'tags']);
      expect(Number.isInteger(value.age)).toBe(true);
      expect(run.summary.finishReason).toBe('stop');
    }
  });

  it('lets an end token come exactly where the text may end', async () => {
    const constraint = { schema: { type: 'integer' } };
    const push = { logitBias: { [END]: 99 } };
    const run = await generate({ temperature: 0, constraint, ...push });
    expect(run.ids.at(-1)).toBe(END);
    expect(run.summary.text).toMatch(/^(-?\d)$/);
    expect(run.summary.finishReason).toBe('stop');
    const past = await generate({ temperature: 0, constraint, ...push, ignoreEnd: true, maxTokens: 5 });
    expect(past.ids).not.toContain(END);
    expect(past.summary.text).toMatch(/^-?\d+$/);
  });

  it('comes before bans and forces', async () => {
    const constraint = { anyOf: ['ab', 'ac'] };
    const at = (letter: string): number => letter.charCodeAt(0);
    const run = (logitBias: Record<number, number>): Promise<Run> =>
      generate({ temperature: 0, constraint, logitBias });
    expect((await run({ [at('b')]: -100 })).summary.text).toBe('ac');
    expect((await run({ [at('b')]: 100 })).summary.text).toBe('ab');
    expect((await run({ [at('a')]: -100, [at('b')]: -100 })).summary.text).toBe('ac');
  });

  it('works with penalties, and leaves nothing for the next request', async () => {
    const plain = await generate({ ...ONE, maxTokens: 4 });
    const run = await generate({ temperature: 0, repetitionPenalty: 1.5, presencePenalty: 1, constraint: 'aaaa' });
    expect(run.summary.text).toBe('aaaa');
    expect((await generate({ ...ONE, maxTokens: 4 })).ids).toEqual(plain.ids);
  });

  it('is refused where it cannot be obeyed', async () => {
    expect(await refused({ constraint: 'abcdef', maxTokens: 3 })).toMatch(/maxTokens/);
    expect(await refused({ constraint: '' })).toMatch(/empty/);
    await withModel(gpu, FOLDER, {}, async (bare) => {
      expect(await refused({ constraint: 'a' }, bare)).toMatch(/tokenizer\.json/);
    });
  });
});

describe('what it costs', () => {
  type Costs = Record<string, number>;

  /** Of one decoded token, after a few. */
  async function costOf(options: GenerateOptions): Promise<Costs> {
    const tokens = model.generate({ ids: prompt }, { temperature: 0, ignoreEnd: true, maxTokens: 12, ...options });
    for (let i = 0; i < 4; i++) await tokens.next();
    const before = model.counters;
    await tokens.next();
    const after = model.counters;
    await tokens.return({} as never);
    return Object.fromEntries(
      (Object.keys(before) as (keyof typeof before)[]).map((key) => [key, after[key] - before[key]]),
    );
  }

  it('nothing when it is not asked for: 64 bytes up, the token and its routing down', async () => {
    const plain = await costOf({});
    const routed = 2 * 256; // two layers' logs, each on a boundary of 256 bytes
    expect(plain).toMatchObject({ submits: 1, readbacks: 1, uploadBytes: 64, readbackBytes: 16 + routed });
    expect(await costOf({ logitBias: { 3: 0 }, topLogprobs: 0 })).toEqual(plain);
    // A bias and bans are written when the request begins.
    expect(await costOf({ logitBias: { 3: -100, 4: 5 } })).toEqual(plain);
    expect(await costOf({ topLogprobs: 5 })).toEqual({
      ...plain,
      dispatches: plain.dispatches! + 1,
      passes: plain.passes! + 1,
      readbackBytes: plain.readbackBytes! + 40,
    });
    expect(await costOf({ constraint: 'abcdefghijkl' })).toEqual({ ...plain, uploadBytes: 64 + V / 8 });
  });
});

describe('a vector for a text', () => {
  const texts = ['a short text', 'another one that takes more than one chunk of a prompt'];
  const hiddenOf = async (text: string): Promise<Float32Array[]> => {
    const ids = [...model.text!.tokenizer.encode(text)];
    const { hidden } = await model.logits(ids, { hidden: true });
    const size = model.config.hidden;
    const all = hidden!.subarray(hidden!.length - ids.length * size);
    return ids.map((_, t) => all.subarray(t * size, (t + 1) * size));
  };

  it('is the mean of the final hidden states, or the last', async () => {
    const plain = { normalize: false };
    const means = await model.embed(texts, plain);
    const lasts = await model.embed(texts, { ...plain, pooling: 'last' });
    for (const [i, text] of texts.entries()) {
      const rows = await hiddenOf(text);
      const mean = rows[0]!.map((_, d) => rows.reduce((sum, row) => sum + row[d]!, 0) / rows.length);
      mean.forEach((value, d) => expect(Math.abs(value - means[i]![d]!)).toBeLessThan(1e-5));
      rows.at(-1)!.forEach((value, d) => expect(Math.abs(value - lasts[i]![d]!)).toBeLessThan(1e-5));
    }
  });

  it('has length 1; a text alone gives one', async () => {
    const [alone, ...others] = await model.embed(texts[0]!);
    expect(others).toEqual([]);
    expect(alone!.reduce((sum, v) => sum + v * v, 0)).toBeCloseTo(1, 5);
    expect(await model.embed([])).toEqual([]);
  });

  it('leaves conversations as they were', async () => {
    const before = await generate({ ...ONE, maxTokens: 3 });
    await model.embed(texts);
    const after = await generate({ ...ONE, maxTokens: 3 });
    expect(after.ids).toEqual(before.ids);
    expect(after.summary.cachedTokens).toBe(0);
  });

  it('is refused, or given up', async () => {
    await expect(model.embed('')).rejects.toThrow(/empty/);
    await expect(model.embed('x'.repeat(129))).rejects.toThrow(/context holds 128/);
    await expect(model.embed('x', { pooling: 'max' as 'mean' })).rejects.toThrow(/pooling must be/);
    await expect(model.embed('x', { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  });
});
