/**
 * Interventions through whole models: against a second implementation in doubles, in every mode of the store, and between requests.
 */
import { describe, expect, it } from 'vitest';
import type { GenerateOptions, GenerateSummary } from '../../src/engine/generation.ts';
import type { Interventions } from '../../src/engine/interventions.ts';
import type { StepEvent } from '../../src/engine/expert-stats.ts';
import type { Model } from '../../src/engine/model.ts';
import { InvalidRequest } from '../../src/errors.ts';
import { referenceModel, type RouteChange } from '../../src/reference/model.ts';
import { expectClose, relativeError } from '../support/conformance.ts';
import { openModelGpu } from '../support/gpu.ts';
import { fixturePath, withModel } from '../support/models.ts';
import { promptOf, type Drawn } from '../support/outcome.ts';
import { decoder, loadConfig, readModel } from '../unit/families/checkpoint.ts';

const gpu = await openModelGpu();
const OLMOE = fixturePath('families/olmoe');

/** The same as a second implementation takes it. */
function changesOf(
  { mask = [], force = [], routerBias = [] }: Interventions,
  uses: readonly number[],
  experts: number,
): RouteChange[] {
  return uses.map((n, layer) => {
    const rules = Array<number>(experts).fill(0);
    for (const [l, e] of mask) if (l === layer) rules[e] = -Infinity;
    for (const [l, e] of force) if (l === layer) rules[e] = Infinity;
    for (const [l, e, bias] of routerBias) if (l === layer) rules[e] = bias;
    return { uses: n, rules };
  });
}

/** Some of each kind, for any model of two MoE layers with eight experts or more. */
const SOME: Interventions = {
  mask: [
    [0, 1],
    [0, 6],
    [1, 0],
    [1, 5],
  ],
  force: [
    [0, 3],
    [1, 2],
  ],
  routerBias: [
    [0, 2, 0.25],
    [1, 7, -0.5],
  ],
};

/** Every score, groups, biases, a shared expert, a dense layer in between. */
const FAMILIES = ['mixtral', 'olmoe', 'qwen2-moe', 'qwen3-moe', 'glm4-moe', 'deepseek-v2', 'deepseek-v3', 'gpt-oss'];

/** What concerns layers that a model has. */
const within = (layers: number, { mask = [], force = [], routerBias = [] }: Interventions): Interventions => ({
  mask: mask.filter(([layer]) => layer < layers),
  force: force.filter(([layer]) => layer < layers),
  routerBias: routerBias.filter(([layer]) => layer < layers),
});

it.each(FAMILIES)('%s: routing and logits are those of a second implementation', async (family) => {
  const folder = fixturePath(`families/${family}`);
  const { config, names } = loadConfig(folder);
  const moes = config.layers.flatMap(({ ffn }) => (ffn.kind === 'moe' ? [ffn] : []));
  const uses = moes.map((m, layer) => (layer === 1 ? m.topK - 1 : m.topK));
  const changes = within(moes.length, SOME);
  await withModel(gpu, folder, { prefillChunk: 8 }, async (model) => {
    const ids = promptOf(model, 11);
    const plain = await model.logits(ids);
    const got = await model.logits(ids, { interventions: { ...changes, topK: uses } });
    const reference = changesOf(changes, uses, moes[0]!.experts);
    const want = referenceModel(config, names, decoder(readModel(folder)), ids, reference);
    const logits = want.logits.flatMap((row) => [...row]);
    expectClose(got.logits, logits, 1e-3, 'logits');
    want.routes.forEach((tokens, layer) =>
      tokens.forEach((route, t) => {
        const at = t * moes[layer]!.topK;
        const row = got.routing[layer]!.ids.subarray(at, at + moes[layer]!.topK);
        expect([...row.subarray(0, uses[layer])].sort()).toEqual([...route.ids].sort());
        expect(new Set(row.subarray(uses[layer])).size).toBeLessThanOrEqual(1);
      }),
    );
    expect(relativeError(plain.logits, logits)).toBeGreaterThan(1e-3);
    expect((await model.logits(ids)).logits).toEqual(plain.logits); // what was asked for one call does not last
  });
});

interface Run {
  readonly drawn: readonly Drawn[];
  readonly summary: GenerateSummary;
}

async function generate(model: Model, ids: readonly number[], options: GenerateOptions): Promise<Run> {
  const drawn: Drawn[] = [];
  const running = model.generate({ ids }, { temperature: 0, ignoreEnd: true, maxTokens: 10, ...options });
  for (;;) {
    const { value, done } = await running.next();
    if (done) return { drawn, summary: value };
    drawn.push({ id: value.id, logprob: value.logprob, experts: value.routing.map((r) => [...r.ids]) });
  }
}

const interventions: Interventions = { ...SOME, topK: [3, 4] };

describe('in every mode of the store', () => {
  it('the bits are the same, and masked experts are never used', async () => {
    const run = (model: Model): Promise<Run> => generate(model, promptOf(model), { interventions });
    const resident = await withModel(gpu, OLMOE, { prefillChunk: 8 }, run);
    for (const mode of ['optimistic', 'lockstep', 'auto'] as const)
      for (const expertsResident of [0.5, 0]) {
        const options = { collect: false, prefillChunk: 8, mode, expertsResident };
        const { drawn } = await withModel(gpu, OLMOE, options, async (model) => {
          const events: StepEvent[] = [];
          model.onStep((event) => events.push(event), 'ids');
          const found = await run(model);
          for (const event of events) expect(event.interventions).toHaveLength(4);
          for (const [layer, expert] of interventions.mask!)
            for (const event of events) expect(event.layers[layer]!.ids ?? []).not.toContain(expert);
          return found;
        });
        expect(drawn, `${mode} ${expertsResident}`).toEqual(resident.drawn);
      }
  });
});

describe('between requests', () => {
  it('nothing that was computed under others is used again, and the same ones reuse everything', async () => {
    await withModel(gpu, OLMOE, { prefillChunk: 8 }, async (model) => {
      const ids = promptOf(model);
      const plain = await generate(model, ids, {});
      const changed = await generate(model, ids, { interventions });
      expect(changed.summary.cachedTokens).toBe(0);
      expect(changed.drawn).not.toEqual(plain.drawn);
      const again = await generate(model, ids, {
        interventions: { ...interventions, mask: [...SOME.mask!].reverse() },
      });
      expect(again.summary.cachedTokens).toBe(ids.length - 1);
      expect(again.drawn.map((d) => d.id)).toEqual(changed.drawn.map((d) => d.id));
      const other = await generate(model, ids, { interventions: { ...interventions, topK: [4, 4] } });
      expect(other.summary.cachedTokens).toBe(0);
      const back = await generate(model, ids, {});
      expect(back.summary.cachedTokens).toBe(0);
      expect(back.drawn).toEqual(plain.drawn);
    });
  });

  it('the summary names them, and none when there are none', async () => {
    await withModel(gpu, OLMOE, {}, async (model) => {
      const { summary } = await generate(model, promptOf(model), { interventions });
      expect(summary.interventions).toEqual([
        'experts masked (layer:expert): 0:1, 0:6, 1:0, 1:5',
        'experts forced: 0:3, 1:2',
        'experts a token by layer, 0: 3 of 4',
        'router biased: 0:2 +0.25, 1:7 -0.5',
      ]);
      expect((await generate(model, promptOf(model), {})).summary.interventions).toEqual([]);
    });
  });

  it('a request that cannot be met is refused, and the next one is served', async () => {
    await withModel(gpu, OLMOE, {}, async (model) => {
      const ids = promptOf(model);
      const bad = { interventions: { mask: [[0, 99]] } } as const;
      await expect(generate(model, ids, bad)).rejects.toThrow(InvalidRequest);
      expect((await generate(model, ids, {})).drawn).toHaveLength(10);
    });
  });
});

it('costs no dispatch and no byte a token', async () => {
  await withModel(gpu, OLMOE, {}, async (model) => {
    const ids = promptOf(model);
    const costs: unknown[] = [];
    for (const options of [{}, { interventions }, {}]) {
      const tokens = model.generate({ ids }, { temperature: 0, ignoreEnd: true, maxTokens: 12, ...options });
      for (let i = 0; i < 6; i++) await tokens.next();
      const before = model.counters;
      await tokens.next();
      const after = model.counters;
      await tokens.return({} as never);
      costs.push(Object.entries(after).map(([key, value]) => [key, value - before[key as keyof typeof before]]));
    }
    expect(costs[1]).toEqual(costs[0]);
    expect(costs[2]).toEqual(costs[0]);
  });
});
