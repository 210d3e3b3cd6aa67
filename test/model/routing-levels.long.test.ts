/** What a request may learn of its routing, level by level, and what each costs. */
import { afterAll, describe, expect, it } from 'vitest';
import type { GeneratedToken, GenerateOptions, GenerateSummary } from '../../src/engine/generation.ts';
import { loadOn } from '../../src/engine/load.ts';
import type { Model } from '../../src/engine/model.ts';
import { InvalidRequest } from '../../src/errors.ts';
import type { Counters } from '../../src/gpu/gpu.ts';
import { SAMPLED_WORDS } from '../../src/kernels/sample/sample.ts';
import { pathSource } from '../../src/weights/node-source.ts';
import { traceOf } from '../../src/trace/of-run.ts';
import { ROUTING_LEVELS, type RoutingLevel, type RunRouting } from '../../src/trace/run-routing.ts';
import { expectClose } from '../support/conformance.ts';
import { openModelGpu } from '../support/gpu.ts';
import { fixturePath, withModel } from '../support/models.ts';
import { promptOf } from '../support/outcome.ts';
import { referenceModel } from '../../src/reference/model.ts';
import { decoder, loadConfig, readModel } from '../unit/families/checkpoint.ts';

const gpu = await openModelGpu();
const OLMOE = fixturePath('families/olmoe'); // 2 MoE layers, 4 of 16 experts
const [LAYERS, EXPERTS, TOP_K] = [2, 16, 4];
/** From one layer's log of a token to the next. */
const LOG_BYTES = 256;

const model = await loadOn(gpu.share(), pathSource(OLMOE), { contextLength: 128, prefillChunk: 8 });
afterAll(() => model.dispose());
const prompt = promptOf(model, 19); // two whole chunks and a rest

interface Run {
  readonly tokens: readonly GeneratedToken[];
  readonly summary: GenerateSummary;
  readonly routing: RunRouting;
  /** Of the prompt, then of each token. */
  readonly costs: readonly Counters[];
}

const difference = (after: Counters, before: Counters): Counters =>
  Object.fromEntries(
    Object.entries(after).map(([key, value]) => [key, value - before[key as keyof Counters]]),
  ) as unknown as Counters;

async function run(options: GenerateOptions, on: Model = model, ids = prompt): Promise<Run> {
  const tokens: GeneratedToken[] = [];
  const counters = [on.counters];
  const running = on.generate({ ids }, { temperature: 0, ignoreEnd: true, maxTokens: 6, skipCache: true, ...options });
  for (;;) {
    const { value, done } = await running.next();
    if (done) {
      const costs = counters.slice(1).map((after, i) => difference(after, counters[i]!));
      return { tokens, summary: value, routing: value.routing!, costs };
    }
    tokens.push(value);
    counters.push(on.counters);
  }
}

const full = await run({ promptRouting: true });
const scored = await model.logits([...prompt, ...full.tokens.map((t) => t.id)]);

/** [T, L, K] of tokens `from` to `to` of what was scored. */
function expertsOf(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, t) =>
    scored.routing.flatMap(({ ids }) => [...ids.subarray((from + t) * TOP_K, (from + t + 1) * TOP_K)]),
  ).flat();
}

describe('the summary', () => {
  it('has the experts of every token that went in, prompt and answer apart', () => {
    const { prompt: read, generation, level, counts } = full.routing;
    const tokens = full.tokens.map((t) => t.id);
    expect(level).toBe('ids');
    expect(read!.shape).toEqual([prompt.length, LAYERS, TOP_K]);
    expect([...read!.token_ids]).toEqual(prompt);
    expect([...read!.routed_experts]).toEqual(expertsOf(0, prompt.length));
    expect(read!.routed_experts).toBeInstanceOf(Uint8Array);
    expect([...generation!.token_ids]).toEqual(tokens.slice(0, -1)); // nothing ran the last
    expect(generation!.shape).toEqual([tokens.length - 1, LAYERS, TOP_K]);
    expect([...generation!.routed_experts]).toEqual(expertsOf(prompt.length, prompt.length + tokens.length - 1));
    const weights = scored.routing.map(({ weights: w }) => [...w.subarray(0, TOP_K)]).flat();
    expect([...read!.router_weights.subarray(0, LAYERS * TOP_K)]).toEqual(weights);
    expect(counts!.prompt!.reduce((a, b) => a + b, 0)).toBe(prompt.length * LAYERS * TOP_K);
  });

  it('marks what came from the cache', async () => {
    await run({}); // leaves the prompt in the cache
    const { summary, routing } = await run({ promptRouting: true, skipCache: false });
    expect(summary.cachedTokens).toBe(prompt.length - 1);
    const row = LAYERS * TOP_K;
    const ids = routing.prompt!.routed_experts;
    expect(ids).toBeInstanceOf(Int16Array);
    expect([...ids.subarray(0, -row)]).toEqual(Array((prompt.length - 1) * row).fill(-1));
    expect([...ids.subarray(-row)]).toEqual(expertsOf(prompt.length - 1, prompt.length));
    expect(traceOf(summary, { name: 'x', expertBytes: 1 }).steps[0]).toMatchObject({
      position: prompt.length - 1,
      tokens: 1,
    });
  });

  it('can be cloned to a worker', () => {
    expect(structuredClone(full.summary)).toEqual(full.summary);
  });

  it('of an aborted answer has what was run', async () => {
    const controller = new AbortController();
    const running = model.generate({ ids: prompt }, { temperature: 0, ignoreEnd: true, signal: controller.signal });
    await running.next();
    await running.next();
    controller.abort();
    const { value, done } = await running.next();
    expect([done, (value as GenerateSummary).routing!.generation!.shape[0]]).toEqual([true, 1]);
  });
});

describe('levels', () => {
  it('change no token, and tell what they say', async () => {
    for (const level of ROUTING_LEVELS) {
      const { tokens, routing, summary } = await run({ routing: level, promptRouting: level !== 'off' });
      expect(tokens.map(({ id, logprob }) => [id, logprob])).toEqual(
        full.tokens.map(({ id, logprob }) => [id, logprob]),
      );
      expect(routing.level).toBe(level);
      expect(summary.approximations).toEqual([]);
      if (level === 'off') expect(routing).toMatchObject({ counts: null, prompt: null, generation: null });
      else expect(routing.counts).toEqual(full.routing.counts);
      for (const [i, token] of tokens.entries()) {
        const told = level === 'off' || level === 'counts' ? [] : full.tokens[i]!.routing;
        expect(token.routing.map(({ ids, weights }) => ({ ids, weights }))).toEqual([...told]);
        expect(token.routing.every((r) => (r.logits !== undefined) === (level === 'logits'))).toBe(true);
      }
    }
  });

  it.each<[string, number]>([
    ['olmoe', 8],
    ['gpt-oss', 16], // logit biases, four MoE layers
    ['qwen3-moe', 1], // every chunk is one token
  ])('logits of %s are those of a second implementation', async (family, prefillChunk) => {
    const folder = fixturePath(`families/${family}`);
    const { config, names } = loadConfig(folder);
    await withModel(gpu, folder, { prefillChunk }, async (other) => {
      const ids = promptOf(other, 9);
      const { routing, tokens } = await run({ routing: 'logits', promptRouting: true, maxTokens: 3 }, other, ids);
      const { routerLogits } = referenceModel(config, names, decoder(readModel(folder)), [
        ...ids,
        ...tokens.map((t) => t.id),
      ]);
      const want = (from: number, to: number): number[] =>
        Array.from({ length: to - from }, (_, t) => routerLogits.flatMap((layer) => [...layer[from + t]!])).flat();
      expectClose(routing.prompt!.router_logits!, want(0, ids.length), 1e-3, 'of the prompt');
      expectClose(routing.generation!.router_logits!, want(ids.length, ids.length + 2), 1e-3, 'of the answer');
      tokens.forEach((token, i) => {
        const at = ids.length - 1 + i; // the step that produced the token
        expectClose(
          token.routing.flatMap((r) => [...r.logits!]),
          want(at, at + 1),
          1e-3,
          `token ${i}`,
        );
      });
    });
  });

  it('logits come in every mode of the store, with the same bits, and after a change of budget', async () => {
    const options = { routing: 'logits', promptRouting: true } as const;
    const { routing: want } = await run(options);
    for (const mode of ['optimistic', 'lockstep'] as const)
      await withModel(gpu, OLMOE, { collect: false, prefillChunk: 8, mode, expertsResident: 0.3 }, async (other) => {
        expect((await run(options, other)).routing).toEqual(want);
        await other.setGpuBytes(other.plan.minimumBytes);
        expect((await run(options, other)).routing).toEqual(want);
      });
  });

  it.each<[string, GenerateOptions, RegExp]>([
    [
      'a level that is not there',
      { routing: 'all' as RoutingLevel },
      /routing must be one of off, counts, ids, logits/,
    ],
    ['the prompt of nothing', { routing: 'off', promptRouting: true }, /promptRouting needs/],
  ])('refuses %s', async (_, options, message) => {
    await expect(run(options)).rejects.toThrow(InvalidRequest);
    await expect(run(options)).rejects.toThrow(message);
  });
});

describe('what they cost', () => {
  it('a token: dispatches, submits and readbacks are the same; bytes back are those of the log', async () => {
    await run({ routing: 'logits' }); // makes buffers and programs, once
    const bytes = { off: 0, counts: LOG_BYTES, ids: LOG_BYTES, logits: LOG_BYTES };
    const [first] = (await run({})).costs.slice(1);
    for (const level of ROUTING_LEVELS) {
      const { costs } = await run({ routing: level });
      for (const cost of costs.slice(1))
        expect(cost, level).toEqual({ ...first, readbackBytes: 4 * SAMPLED_WORDS + LAYERS * bytes[level] });
    }
    expect(first).toMatchObject({ submits: 1, readbacks: 1, buffersCreated: 0, bindGroupsCreated: 0 });
  });

  it('a prompt: its own routing takes one readback more a chunk, of what the chunk has', async () => {
    const chunks = Math.ceil(prompt.length / 8);
    for (const [level, each] of [
      ['ids', 8 * TOP_K],
      ['logits', 8 * TOP_K + 4 * EXPERTS],
    ] as const) {
      const plain = (await run({ routing: level })).costs[0]!;
      const asked = (await run({ routing: level, promptRouting: true })).costs[0]!;
      expect(asked.dispatches).toBe(plain.dispatches);
      expect(asked.readbacks - plain.readbacks).toBe(chunks);
      expect(asked.readbackBytes - plain.readbackBytes).toBe(prompt.length * LAYERS * each);
    }
  });

  it('memory: none but for logits, whose logs are made when they are first asked for', async () => {
    await withModel(gpu, OLMOE, { prefillChunk: 8 }, async (other) => {
      const total = (): number => Object.values(other.gpuBytes).reduce((a, b) => a + b, 0);
      const before = total();
      expect(before).toBeLessThanOrEqual(other.plan.totalBytes);
      for (const routing of ['off', 'counts', 'ids'] as const)
        await run({ routing, promptRouting: routing !== 'off' }, other);
      expect(total()).toBe(before);
      await run({ routing: 'logits' }, other);
      const token = LAYERS * LOG_BYTES;
      const chunk = LAYERS * 8 * (8 * TOP_K + 4 * EXPERTS);
      expect(total() - before).toBe(token + chunk);
      await run({ routing: 'logits' }, other);
      expect(total() - before).toBe(token + chunk);
    });
  });
});
