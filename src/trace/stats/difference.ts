/** One part, model or run against another: which experts of a layer it takes more or less. */
import { InvalidRequest } from '../../errors.ts';
import { pairsDrawn, tokensDrawn } from './chance.ts';
import { falseDiscovery } from './multiple.ts';
import { layerOf, type LayerCounts } from './select.ts';

/** Added to each count (Haldane and Anscombe), so that an expert that one side never took has a finite ratio. */
export const PSEUDOCOUNT = 0.5;

/** Of each expert, [E]. */
export interface Difference {
  /** log2 of the ratio of load shares, a over b, 0.5 added to each count. */
  readonly log2Ratio: Float64Array;
  /** Difference of the proportions of tokens that took the expert, over its deviation under one common proportion. */
  readonly z: Float64Array;
  /** ln of the odds ratio with 0.5 added to each of the four counts, as Monroe et al. 2008 compare words, with a flat prior. */
  readonly logOdds: Float64Array;
  /** logOdds over its deviation √Σ 1 / counts. */
  readonly logOddsZ: Float64Array;
  /** Of logOddsZ over the layer's experts: `falseDiscovery`. */
  readonly q: Float64Array;
}

/** @throws InvalidRequest for a layer that does not exist, or sides of different numbers of experts */
export function differenceOf(a: LayerCounts, b: LayerCounts, layer: number): Difference {
  const [left, right] = [layerOf(a, layer), layerOf(b, layer)];
  const experts = left.counts.length;
  if (experts !== right.counts.length)
    throw new InvalidRequest(`${experts} and ${right.counts.length} experts do not compare`, { layer });
  const [tokensA, tokensB] = [tokensDrawn(left.draws), tokensDrawn(right.draws)];
  const [allA, allB] = [pairsDrawn(left.draws), pairsDrawn(right.draws)].map((n) => n + PSEUDOCOUNT * experts);
  const of = (f: (x: number, y: number) => number): Float64Array =>
    Float64Array.from(left.counts, (x, e) => f(x, right.counts[e]!));
  const logOddsZ = of((x, y) => logOdds(x, tokensA, y, tokensB) / logOddsDeviation(x, tokensA, y, tokensB));
  return {
    log2Ratio: of((x, y) => Math.log2((x + PSEUDOCOUNT) / allA!) - Math.log2((y + PSEUDOCOUNT) / allB!)),
    z: of((x, y) => proportionsZ(x, tokensA, y, tokensB)),
    logOdds: of((x, y) => logOdds(x, tokensA, y, tokensB)),
    logOddsZ,
    q: falseDiscovery(logOddsZ),
  };
}

/** 0 where both proportions are all or nothing. */
function proportionsZ(x: number, n: number, y: number, m: number): number {
  if (n === 0 || m === 0) return 0;
  const p = (x + y) / (n + m);
  const variance = p * (1 - p) * (1 / n + 1 / m);
  return variance > 0 ? (x / n - y / m) / Math.sqrt(variance) : 0;
}

const logit = (x: number, n: number): number => Math.log((x + PSEUDOCOUNT) / (n - x + PSEUDOCOUNT));
const logOdds = (x: number, n: number, y: number, m: number): number => logit(x, n) - logit(y, m);
const logOddsDeviation = (x: number, n: number, y: number, m: number): number =>
  Math.sqrt([x, n - x, y, m - y].reduce((sum, c) => sum + 1 / (c + PSEUDOCOUNT), 0));
