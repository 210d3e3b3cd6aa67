/** How evenly a layer's experts are used. Metrics: docs/statistics.md. */
import { loadChances, nothing, tokensDrawn, type Measured } from './chance.ts';
import { layerOf, type LayerCounts } from './select.ts';

/** Of one layer. `n` counts tokens; the band is that of uniform random choice by as many tokens. */
export interface LoadStats {
  /** f_i = assignments to i / all assignments, [E]; sums to 1. */
  readonly share: Float64Array;
  /** Coefficient of variation of the loads, σ / μ. */
  readonly cv: Measured;
  /** Its square, the load loss of Shazeer et al. 2017 (arXiv 1701.06538). */
  readonly cv2: Measured;
  /** max / mean - 1 (Wang et al. 2024, arXiv 2408.15664). */
  readonly maxVio: Measured;
  /** H(f) / ln E: 1 when even. Hardly moves near 1: show `cv` with it. */
  readonly entropy: Measured;
  /** exp H(f): as many experts, evenly used, would have this entropy. */
  readonly effective: Measured;
  /** 0 when even, (E - 1) / E when one expert has all. */
  readonly gini: Measured;
  /** What the busiest ⌈E / 4⌉ experts take together. */
  readonly topQuarter: Measured;
  /** Share of the experts that no token took. */
  readonly unused: Measured;
  /** Share of the experts with under a tenth of the mean load. */
  readonly rare: Measured;
}

const NAMES = ['cv', 'cv2', 'maxVio', 'entropy', 'effective', 'gini', 'topQuarter', 'unused', 'rare'] as const;

/** The statistics in the order of NAMES; counts [E], not all 0. */
function measure(counts: Float64Array, out: Float64Array): void {
  const experts = counts.length;
  const sorted = counts.slice().sort();
  let total = 0;
  for (const c of sorted) total += c;
  const mean = total / experts;
  let [squares, entropy, gini, top, unused, rare] = [0, 0, 0, 0, 0, 0];
  for (let i = 0; i < experts; i++) {
    const c = sorted[i]!;
    squares += (c - mean) ** 2;
    if (c > 0) entropy -= (c / total) * Math.log(c / total);
    else unused++;
    gini += (2 * i + 1 - experts) * c;
    if (i >= experts - Math.ceil(experts / 4)) top += c;
    if (c < 0.1 * mean) rare++;
  }
  out[0] = Math.sqrt(squares / experts) / mean;
  out[1] = squares / experts / mean ** 2;
  out[2] = sorted[experts - 1]! / mean - 1;
  out[3] = experts > 1 ? entropy / Math.log(experts) : 1;
  out[4] = Math.exp(entropy);
  out[5] = gini / (experts * total);
  out[6] = top / total;
  out[7] = unused / experts;
  out[8] = rare / experts;
}

export interface LoadOptions {
  /** false: no bands, which is faster while a trace grows. */
  readonly chance?: boolean;
}

/** @throws InvalidRequest for a layer that does not exist */
export function loadStats(from: LayerCounts, layer: number, options: LoadOptions = {}): LoadStats {
  const { counts, draws } = layerOf(from, layer);
  const n = tokensDrawn(draws);
  const share = new Float64Array(from.experts);
  const values = new Float64Array(NAMES.length);
  if (n > 0) {
    measure(Float64Array.from(counts), values);
    const total = counts.reduce((a, b) => a + b, 0);
    for (let e = 0; e < counts.length; e++) share[e] = counts[e]! / total;
  }
  const chances = n > 0 && options.chance !== false ? loadChances('load', draws, NAMES.length, measure) : null;
  const stats = NAMES.map((name, i): [(typeof NAMES)[number], Measured] => [
    name,
    n > 0 ? { value: values[i]!, chance: chances?.[i] ?? null, n } : nothing,
  ]);
  return { share, ...(Object.fromEntries(stats) as Record<(typeof NAMES)[number], Measured>) };
}

/** The mean of one statistic over all layers that took any token: of figures per layer, never of counts added up across layers. */
export const meanOverLayers = (layers: readonly Measured[]): number => {
  const measured = layers.filter((m) => m.n > 0);
  return measured.reduce((sum, m) => sum + m.value, 0) / Math.max(1, measured.length);
};
