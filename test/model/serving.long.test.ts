/** Several requests at once: what each gets is what it gets alone, bit by bit, whoever comes, leaves or is sent away meanwhile. */
import { describe, expect, it } from 'vitest';
import type { GeneratedToken, GenerateOptions, GenerateSummary } from '../../src/engine/generation.ts';
import type { Model } from '../../src/engine/model.ts';
import { InvalidRequest, OutOfBudget, UnsupportedModel } from '../../src/errors.ts';
import { PAGE_TOKENS } from '../../src/kernels/attention/pages.ts';
import { openModelGpu, pretend } from '../support/gpu.ts';
import { fixturePath, withModel } from '../support/models.ts';
import { prng } from '../../src/util/prng.ts';

const gpu = await openModelGpu();

const VOCAB = 256;
const prompt = (length: number, seed: number): number[] =>
  Array.from({ length }, (_, i) => (37 * i * seed + 5 * i + seed) % VOCAB);

interface Answered {
  readonly tokens: readonly Omit<GeneratedToken, 'bytes'>[];
  readonly summary: GenerateSummary;
}

async function ask(model: Model, ids: readonly number[], options: GenerateOptions = {}): Promise<Answered> {
  const tokens: GeneratedToken[] = [];
  const running = model.generate({ ids }, { temperature: 0, ignoreEnd: true, maxTokens: 6, ...options });
  for (;;) {
    const { done, value } = await running.next();
    if (done) return { tokens, summary: value };
    tokens.push(value);
  }
}
const idsOf = ({ tokens }: Answered): number[] => tokens.map(({ id }) => id);

/** Lengths at the edges of pages, and a request of each kind of draw. */
const REQUESTS: readonly (readonly [ids: readonly number[], options: GenerateOptions])[] = [
  [prompt(2 * PAGE_TOKENS, 1), {}],
  [prompt(1, 2), { temperature: 1, seed: 7 }],
  [prompt(41, 3), { temperature: 0.8, topK: 20, topP: 0.9, seed: 3, repetitionPenalty: 1.2 }],
  [prompt(PAGE_TOKENS + 1, 4), { logitBias: { 3: 4, 9: -100 }, topLogprobs: 3, frequencyPenalty: 0.5 }],
  [prompt(PAGE_TOKENS - 1, 5), { temperature: 1.5, minP: 0.01, seed: 11, presencePenalty: 1 }],
];
const OPTIONS = { contextLength: 64, prefillChunk: 24, requests: { inFlight: 4 } };

/** Windows and sinks, latent attention, a mixture of heads. */
const FAMILIES = ['gpt-oss', 'deepseek-v2', 'jetmoe'];

describe.each(FAMILIES)('%s', (family) => {
  it('gives each request the bits that it gets alone, and the tokens that it gets in the queue', async () => {
    await withModel(gpu, fixturePath(`families/${family}`), OPTIONS, async (model) => {
      const alone: Answered[] = [];
      for (const [ids, options] of REQUESTS) alone.push(await ask(model, ids, { ...options, skipCache: true }));
      const together = await Promise.all(
        REQUESTS.map(([ids, options]) => ask(model, ids, { ...options, skipCache: true })),
      );
      together.forEach((answer, i) => expect(answer.tokens).toEqual(alone[i]!.tokens));
      for (const [i, [ids, options]] of REQUESTS.slice(0, 3).entries()) {
        // What many cannot share a step with runs in the queue, by the kernels for single tokens, which sum in another order.
        const queued = await ask(model, ids, { ...options, skipCache: true, routing: 'logits' });
        expect(idsOf(alone[i]!)).toEqual(idsOf(queued));
        queued.tokens.forEach(({ logprob }, n) => expect(alone[i]!.tokens[n]!.logprob).toBeCloseTo(logprob, 3));
      }
    });
  });
});

describe('requests on olmoe', () => {
  const path = fixturePath('families/olmoe');

  it('run 64 at a time, half of them cancelled at some time: the others get what they get alone, and all pages come back', async () => {
    const draw = prng(20);
    const random = (below: number): number => Math.floor(draw() * below);
    const wishes = Array.from({ length: 64 }, (_, i) => ({
      ids: prompt(1 + random(30), 1 + (i % 5)),
      options: { maxTokens: 3 + random(8), ...(i % 3 === 0 && { temperature: 1, seed: i }) },
      leavesAfter: i % 2 ? random(6) : null,
    }));
    // A pool for about a dozen: they wait for pages, and are sent away.
    const options = { ...OPTIONS, requests: { inFlight: 64, kvBytes: 1 } };
    await expect(withModel(gpu, path, options, async () => undefined)).rejects.toThrow(InvalidRequest);
    const kvBytes = 24 * PAGE_TOKENS * BYTES_A_TOKEN;
    await withModel(gpu, path, { ...OPTIONS, requests: { inFlight: 64, kvBytes } }, async (model) => {
      const before = await Promise.all(wishes.filter((_, i) => i % 16 === 0).map((w) => ask(model, w.ids, w.options)));
      const ended: number[] = [];
      const answers = await Promise.all(
        wishes.map(async ({ ids, options, leavesAfter }, i) => {
          const stop = new AbortController();
          let n = 0;
          if (leavesAfter === 0) stop.abort(new Error('not wanted'));
          const running = model.generate({ ids }, { temperature: 0, ignoreEnd: true, ...options, signal: stop.signal });
          const drawn: number[] = [];
          for (;;) {
            const { done, value } = await running.next();
            if (done) {
              ended.push(i);
              return { drawn, reason: value.finishReason };
            }
            drawn.push(value.id);
            if (++n === leavesAfter) stop.abort(new Error('no longer wanted'));
          }
        }),
      );
      expect(ended).toHaveLength(64);
      for (const [i, w] of wishes.entries()) {
        const { drawn, reason } = answers[i]!;
        const isCut = w.leavesAfter !== null && w.leavesAfter < w.options.maxTokens;
        expect(reason).toBe(isCut ? 'abort' : 'length');
        if (!isCut) expect(drawn).toHaveLength(w.options.maxTokens);
        if (i % 16 === 0) expect(drawn).toEqual(idsOf(before[i / 16]!));
      }
      expect(model.pagesUsed).toBe(0);
      // Alone again, one of those in the middle: nothing of the crowd is left in what it gets.
      expect(idsOf(await ask(model, wishes[34]!.ids, { ...wishes[34]!.options, skipCache: true }))).toEqual(
        answers[34]!.drawn,
      );
    });
  });

  it('share pages of a common beginning, which changes no bit; an answer that goes on finds its own', async () => {
    await withModel(gpu, path, OPTIONS, async (model) => {
      const common = prompt(2 * PAGE_TOKENS, 8);
      const first = await ask(model, [...common, 1, 2]);
      const anew = await ask(model, [...common, 3, 4], { skipCache: true });
      const sharing = await Promise.all([ask(model, [...common, 3, 4]), ask(model, [...common, 1, 2])]);
      expect([first, anew, ...sharing].map(({ summary }) => summary.cachedTokens)).toEqual([0, 0, 32, 32]);
      expect(sharing.map(({ tokens }) => tokens)).toEqual([anew.tokens, first.tokens]);
      const whole = await ask(model, common);
      expect(whole.summary.cachedTokens, 'of k pages exactly, the last is computed for its logits').toBe(PAGE_TOKENS);
      const next = [...common, 1, 2, ...idsOf(first), ...prompt(9, 3)];
      const turn = await ask(model, next);
      expect(turn.tokens).toEqual((await ask(model, next, { skipCache: true })).tokens);
    });
  });

  it('leave room for those that run alone: interventions, scores, another budget', async () => {
    await withModel(gpu, path, OPTIONS, async (model) => {
      const [ids] = REQUESTS[2]!;
      const expected = await ask(model, ids, { maxTokens: 12 });
      const [shared, scores, changed] = await Promise.all([
        ask(model, ids, { maxTokens: 12 }),
        model.logits(ids),
        ask(model, ids, { maxTokens: 2, interventions: { topK: 1 } }),
        ask(model, ids, { maxTokens: 2, routing: 'logits' }),
        model.setGpuBytes(2 ** 30),
      ]);
      expect(shared.tokens).toEqual(expected.tokens);
      expect(changed.summary.interventions).toHaveLength(1);
      expect(scores.logits).toHaveLength(ids.length * VOCAB);
      model.evict(0, 1);
      expect((await ask(model, ids, { maxTokens: 12 })).tokens, 'an expert that left comes back').toEqual(
        expected.tokens,
      );
    });
  });

  it('end with the model, each by itself', async () => {
    await withModel(gpu, path, OPTIONS, async (model) => {
      const asked = [1, 2, 3].map((seed) => ask(model, prompt(9, seed), { maxTokens: 40 }));
      const ends = Promise.allSettled(asked);
      await model.generate({ ids: [1] }, { maxTokens: 1 }).next();
      await model.dispose();
      for (const end of await ends)
        expect(end).toMatchObject({ status: 'rejected', reason: { code: 'invalid-request' } });
    });
  });

  it('are refused where they cannot be', async () => {
    const opening = (options: object, family = 'olmoe'): Promise<void> =>
      withModel(gpu, fixturePath(`families/${family}`), { ...OPTIONS, ...options }, async () => undefined);
    await expect(opening({ expertsResident: 0.5 })).rejects.toThrow(OutOfBudget);
    await expect(opening({}, 'jamba')).rejects.toThrow(UnsupportedModel);
    await expect(opening({ requests: { inFlight: 65 } })).rejects.toThrow(InvalidRequest);
  });

  it('run by the kernels for software adapters alike', async () => {
    await withModel(pretend(gpu, true), path, OPTIONS, async (model) => {
      const alone: Answered[] = [];
      for (const [ids, options] of REQUESTS) alone.push(await ask(model, ids, { ...options, skipCache: true }));
      const together = await Promise.all(REQUESTS.map(([ids, options]) => ask(model, ids, options)));
      expect(together.map(({ tokens }) => tokens)).toEqual(alone.map(({ tokens }) => tokens));
    });
  });

  it('are counted in the plan to the byte', async () => {
    await withModel(gpu, path, OPTIONS, async (model) => {
      await Promise.all(REQUESTS.slice(0, 3).map(([ids, options]) => ask(model, ids, options)));
      const { bytes } = model.plan;
      const { kv, activations, tables, readback } = model.gpuBytes;
      expect({ kv, activations, tables, readback }).toEqual({
        kv: bytes.kv,
        activations: bytes.activations,
        tables: bytes.tables,
        readback: bytes.readback,
      });
    });
  });
});

/** Two layers of four heads of 16 values, keys and values. */
const BYTES_A_TOKEN = 2 * 2 * 4 * 16 * 4;
