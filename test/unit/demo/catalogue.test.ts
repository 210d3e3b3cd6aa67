/** The figures on the cards are what the project's own arithmetic gives for the published configs. */
import { expect, it } from 'vitest';
import { CATALOGUE, type CatalogueFigures } from '../../../demo/models/catalogue.ts';
import { readModelConfig } from '../../../src/config/load.ts';
import { parameterCounts } from '../../../src/config/parameters.ts';
import { planOpened, openModel } from '../../../src/engine/open.ts';
import type { Plan } from '../../../src/engine/plan.ts';
import { DEFAULT_GPU_BYTES } from '../../../src/engine/plan-defaults.ts';
import { withDefaults } from '../../../src/engine/prepare.ts';
import { OutOfBudget } from '../../../src/errors.ts';
import { published } from '../config/published.ts';
import { thinned } from '../../support/everyday.ts';
import { publishedSource } from '../../support/published-source.ts';

/** Of an ordinary graphics card: Chrome offers 2 GiB bindings in 4 GiB buffers on most. */
const LIMITS = { maxStorageBufferBindingSize: 2 ** 31 - 4, maxBufferSize: 2 ** 32 - 4 };

type Weights = 'as-is' | 'q8' | 'q4' | 'auto';

/** What a load would choose, or why it would not: the least that it takes. */
function planned(at: (weights: Weights) => Plan): Plan {
  try {
    return at('auto');
  } catch (error) {
    if (!(error instanceof OutOfBudget)) throw error;
    return at('q4');
  }
}

async function figures(name: string): Promise<CatalogueFigures> {
  const { config } = readModelConfig(JSON.stringify(published(name)));
  const counts = parameterCounts(config);
  const opened = await openModel(publishedSource(name));
  const at = (weights: Weights): Plan =>
    planOpened(opened, LIMITS, weights, withDefaults({ gpuBytes: DEFAULT_GPU_BYTES }, config, 'gpu')).plan;
  const plan = planned(at);
  const { weights, experts, kv, ...other } = plan.bytes;
  const moe = config.layers.flatMap(({ ffn }) => (ffn.kind === 'moe' ? [ffn] : []));
  return {
    totalParameters: counts.total,
    activeParameters: counts.active,
    shape: { layers: moe.length, experts: moe[0]!.experts, topK: moe[0]!.topK },
    downloadBytes: plan.downloadBytes,
    allOnCard: { 'as-is': at('as-is').fullBytes, q8: at('q8').fullBytes, q4: at('q4').fullBytes },
    plan: {
      precision: plan.precision,
      verdict: plan.verdict,
      contextLength: plan.contextLength,
      budgetBytes: plan.budgetBytes,
      weights,
      experts,
      kv,
      rest: Object.values(other).reduce((sum, bytes) => sum + bytes, 0),
      slots: plan.slots.count,
      tokensPerSecond: Number(plan.tokensPerSecond!.toPrecision(2)),
    },
  };
}

it.each(thinned(CATALOGUE, CATALOGUE.length))('$id', async ({ config, figures: shown }) => {
  expect(shown).toEqual(await figures(config));
});
