/** How sure the router was of each token. */
import type { Trace } from '../trace.ts';
import { probabilitiesAt } from './probabilities.ts';
import type { Part } from './select.ts';
import { takenIn } from './taken.ts';

/** Of each token of the part, in its order; NaN where the layer did not run for it. */
export interface Gate {
  /** Indices of the tokens, [n]. */
  readonly rows: Uint32Array;
  /** H(p) / ln E of the probabilities: 1 when all experts are alike to the router. null without logits and their scoring. */
  readonly entropy: Float64Array | null;
  /**
   * The least probability of a chosen expert less the greatest of one not chosen, p_k - p_(k+1): near 0 the choice was close. Below 0 where something
   * beside the probabilities chose (a selection bias, an intervention); NaN where all were chosen.
   */
  readonly margin: Float64Array | null;
  /** Weight of the first expert over the weights of all chosen: from 1 / k, all alike, to 1. null without weights. */
  readonly topShare: Float64Array | null;
}

/** @throws InvalidRequest for a layer that does not exist */
export function gateOf(trace: Trace, layer: number, part?: Part): Gate {
  const { rows, ids, weights, start, experts } = takenIn(trace, layer, part);
  const hasProbs = Boolean(trace.logits && trace.scoring);
  const make = (has: boolean): Float64Array | null => (has ? new Float64Array(rows.length).fill(NaN) : null);
  const [entropy, margin, topShare] = [make(hasProbs), make(hasProbs), make(weights !== null)];
  const one = new Float64Array(experts);
  for (let r = 0; r < rows.length; r++) {
    const chosen = ids.subarray(start[r]!, start[r + 1]!);
    if (topShare && weights && chosen.length > 0) {
      const total = weights.subarray(start[r]!, start[r + 1]!).reduce((a, b) => a + b, 0);
      topShare[r] = total > 0 ? weights[start[r]!]! / total : 1 / chosen.length;
    }
    if (!entropy || !margin || !probabilitiesAt(trace, rows[r]!, layer, one)) continue;
    entropy[r] = experts > 1 ? -one.reduce((h, p) => h + (p > 0 ? p * Math.log(p) : 0), 0) / Math.log(experts) : 1;
    margin[r] = marginOf(one, chosen);
  }
  return { rows, entropy, margin, topShare };
}

function marginOf(probs: Float64Array, chosen: Uint16Array): number {
  if (chosen.length === 0 || chosen.length === probs.length) return NaN;
  let [least, most] = [Infinity, -Infinity];
  probs.forEach((p, e) => {
    if (chosen.includes(e)) least = Math.min(least, p);
    else most = Math.max(most, p);
  });
  return least - most;
}

export interface Distribution {
  readonly n: number;
  readonly mean: number;
  /** At 5, 25, 50, 75 and 95 %, between neighbours in proportion. */
  readonly quantiles: readonly [number, number, number, number, number];
}

/** NaN is left out; null when nothing is left. */
export function distributionOf(values: Float64Array): Distribution | null {
  const sorted = values.filter((v) => !Number.isNaN(v)).sort();
  const n = sorted.length;
  if (n === 0) return null;
  const at = (q: number): number => {
    const x = q * (n - 1);
    const low = sorted[Math.floor(x)]!;
    return low + (x - Math.floor(x)) * (sorted[Math.ceil(x)]! - low);
  };
  return {
    n,
    mean: sorted.reduce((a, b) => a + b, 0) / n,
    quantiles: [at(0.05), at(0.25), at(0.5), at(0.75), at(0.95)],
  };
}
