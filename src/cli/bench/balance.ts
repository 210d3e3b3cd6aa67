/** How evenly a prompt's tokens fell on the experts, and how its chunks filled the tiles. */
import type { Model } from '../../engine/model.ts';
import type { GenerateSummary } from '../../engine/generation.ts';
import type { PromptTraffic } from '../../engine/cost/cost-sheet.ts';
import { countedTraffic } from '../../engine/cost/traffic.ts';
import { expertBytesOf, traceOf } from '../../trace/of-run.ts';
import type { RoutedTokens } from '../../trace/run-routing.ts';
import { loadStats, meanOverLayers, type LoadStats } from '../../trace/stats/load.ts';
import { countsOf } from '../../trace/stats/select.ts';
import type { Measured } from '../../trace/stats/chance.ts';
import { sum } from '../../util/math.ts';

/** A figure, and what uniform random choice by as many tokens would give. */
export interface BesideChance {
  readonly value: number;
  readonly chance: number | null;
}

/** Means over MoE layers, of `tokens` prompt tokens. Under their names in docs/statistics.md. */
export interface ExpertBalance {
  readonly tokens: number;
  readonly cv: BesideChance;
  readonly maxVio: BesideChance;
  readonly entropy: BesideChance;
  readonly unused: BesideChance;
}

function besideChance(layers: readonly LoadStats[], of: (stats: LoadStats) => Measured): BesideChance {
  const measured = layers.map(of);
  const chances = measured.flatMap(({ chance }) => (chance ? [chance.mean] : []));
  return {
    value: meanOverLayers(measured),
    chance: chances.length === measured.length ? sum(chances) / chances.length : null,
  };
}

/** @returns null for a model without experts, or a run without its prompt's routing */
export function balanceOf(model: Model, summary: GenerateSummary): ExpertBalance | null {
  const { routing } = summary;
  if (!routing?.prompt || routing.layers === 0) return null;
  const trace = traceOf(summary, { name: model.config.family, expertBytes: expertBytesOf(model.plan) });
  const counts = countsOf(trace, { phase: 'prefill' });
  const layers = Array.from({ length: routing.layers }, (_, layer) => loadStats(counts, layer));
  return {
    tokens: routing.prompt.shape[0],
    cv: besideChance(layers, (s) => s.cv),
    maxVio: besideChance(layers, (s) => s.maxVio),
    entropy: besideChance(layers, (s) => s.entropy),
    unused: besideChance(layers, (s) => s.unused),
  };
}

/** Rows of each expert in one layer, of tokens [from, to). */
function rowsOf(
  { shape: [, layers, topK], routed_experts: ids }: RoutedTokens,
  layer: number,
  from: number,
  to: number,
): number[] {
  const rows = new Map<number, number>();
  for (let t = from; t < to; t++)
    for (let k = 0; k < topK; k++) {
      const id = ids[(t * layers + layer) * topK + k]!;
      if (id >= 0) rows.set(id, (rows.get(id) ?? 0) + 1);
    }
  return [...rows.values()];
}

export const promptTraffic =
  (prompt: RoutedTokens): PromptTraffic =>
  ({ position, tokens }, layer) =>
    countedTraffic([rowsOf(prompt, layer, position, position + tokens)]);
