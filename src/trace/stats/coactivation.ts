/** Which experts of a layer work together. All pairs of a token count, not only neighbours in its ranking. */
import type { Trace } from '../trace.ts';
import type { Chance, Measured } from './chance.ts';
import { nothing } from './chance.ts';
import { binomialBand } from './distributions.ts';
import type { Part } from './select.ts';
import { takenIn } from './taken.ts';

export interface Coactivation {
  readonly experts: number;
  readonly tokens: number;
  /** [E, E], symmetric: tokens that took both; on the diagonal, those that took the one. */
  readonly pairs: Uint32Array;
  /** [E], chance of P(j | i): mean of (k - 1) / (E - 1) over the tokens of i. */
  readonly expected: Float64Array;
  /** All tokens took the same number of experts: then bands are exact. */
  readonly isEven: boolean;
}

/** @throws InvalidRequest for a layer that does not exist */
export function coactivationOf(trace: Trace, layer: number, part?: Part): Coactivation {
  const { ids, start, experts, draws } = takenIn(trace, layer, part);
  const pairs = new Uint32Array(experts * experts);
  const others = new Float64Array(experts);
  let tokens = 0;
  for (let r = 0; r + 1 < start.length; r++) {
    const [from, to] = [start[r]!, start[r + 1]!];
    if (to > from) tokens++;
    for (let i = from; i < to; i++) {
      others[ids[i]!]! += to - from - 1;
      for (let j = from; j < to; j++) pairs[ids[i]! * experts + ids[j]!]!++;
    }
  }
  const expected = others.map((n, i) => n / Math.max(1, experts - 1) / Math.max(1, pairs[i * (experts + 1)]!));
  return { experts, tokens, pairs, expected, isEven: draws.taking.filter((t, k) => k > 0 && t > 0).length <= 1 };
}

export interface ExpertPair {
  /** Tokens that took both. */
  readonly support: number;
  /** P(j | i) = support / tokens of i; by chance (k - 1) / (E - 1). `n` counts the tokens of i. */
  readonly conditional: Measured;
  /** P(i, j) / (P(i) P(j)); 0 without support. */
  readonly lift: number;
  /** Of uniform choice, under 1, because a token takes an expert once: E (k - 1) / (k (E - 1)). */
  readonly chanceLift: number;
  /** log2 lift; null without support. */
  readonly pmi: number | null;
}

/** i and j differ. Of the many pairs of a layer one in twenty is outside its band by chance. */
export function pairOf({ experts, tokens, pairs, expected, isEven }: Coactivation, i: number, j: number): ExpertPair {
  const [ofI, ofJ] = [pairs[i * (experts + 1)]!, pairs[j * (experts + 1)]!];
  const support = pairs[i * experts + j]!;
  const lift = support > 0 ? (support * tokens) / (ofI * ofJ) : 0;
  const total = expected.reduce((sum, p, e) => sum + p * pairs[e * (experts + 1)]!, 0) * (experts - 1);
  const all = expected.reduce((sum, _, e) => sum + pairs[e * (experts + 1)]!, 0);
  const chance = (): Chance => ({ ...binomialBand(ofI, expected[i]!), how: isEven ? 'exact' : 'normal' });
  return {
    support,
    conditional: ofI > 0 ? { value: support / ofI, chance: chance(), n: ofI } : nothing,
    lift,
    // Tokens with pairs expect Σ k (k - 1) / (E (E - 1)) of each pair, against a product of two shares of all / E.
    chanceLift: all > 0 && experts > 1 ? ((total / (experts * (experts - 1))) * tokens) / (all / experts) ** 2 : 0,
    pmi: support > 0 ? Math.log2(lift) : null,
  };
}

/** Lift of all pairs, [E, E]; NaN on the diagonal and where fewer than `least` tokens took both. */
export function liftMatrix({ experts, tokens, pairs }: Coactivation, least = 1): Float64Array {
  return Float64Array.from({ length: experts * experts }, (_, at) => {
    const [i, j] = [Math.floor(at / experts), at % experts];
    const support = pairs[at]!;
    if (i === j || support < Math.max(1, least)) return NaN;
    return (support * tokens) / (pairs[i * (experts + 1)]! * pairs[j * (experts + 1)]!);
  });
}
