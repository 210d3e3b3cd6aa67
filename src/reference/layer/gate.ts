/** Twin of shaders/layer/jitter.wgsl, logits.wgsl, scores.wgsl and choose.wgsl. */
import type { LayerShape, LayerStep } from '../../config/moe-layer.ts';
import { draw, gumbel, normal, unit } from './philox.ts';

export interface GateInput {
  readonly x: ArrayLike<number>; // [T, D]
  readonly router: ArrayLike<number>; // [M, D]
  readonly bias: ArrayLike<number>; // [G]
  readonly tokenIds?: ArrayLike<number>; // [T]
}

/** Of one token. */
export interface Gate {
  /** What the router read, [D]. */
  readonly input: Float64Array;
  /** Of every row of the router, [M]. */
  readonly logits: Float64Array;
  /** Logits that scores come from, noise included, [G]. */
  readonly noisy: Float64Array;
  readonly scores: Float64Array; // [G]
  /** Scores by their sum, [G]. */
  readonly shares: Float64Array;
  readonly logSumExp: number;
  readonly entropy: number;
  readonly chosen: readonly number[]; // [K]
  /** Takes its place, but is not used. */
  readonly unused: readonly boolean[]; // [K]
  readonly priority: readonly number[]; // [K]
  /** Of noisy top-k in training: the choice whose logit each choice has to exceed, [G]. */
  readonly thresholds: readonly number[] | null;
}

export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
export const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
export const total = (values: ArrayLike<number>): number => Array.from(values).reduce((a, b) => a + b, 0);

export function gate(input: GateInput, shape: LayerShape, step: LayerStep): Gate[] {
  return Array.from({ length: step.tokens }, (_, t) => gateOf(t, input, shape, step));
}

function gateOf(t: number, input: GateInput, shape: LayerShape, step: LayerStep): Gate {
  const read = routerInput(t, input, shape, step);
  const logits = logitsOf(t, input, read, shape);
  const choices = shape.experts + shape.zeroExperts;
  const isNoisy = shape.noise === 'noisy-top-k' && step.training;
  const noisy = Float64Array.from({ length: choices }, (_, e) =>
    isNoisy ? logits[e]! + normal(step, t, e) * softplus(logits[choices + e]!) : logits[e]!,
  );
  const top = Math.max(...noisy);
  const logSumExp = top + Math.log(total(noisy.map((h) => Math.exp(h - top))));
  const scores = scoresOf(noisy, shape.score, logSumExp);
  const sum = total(scores);
  const shares = scores.map((s) => s / sum);
  const entropy = -total(shares.map((p) => (p > 0 ? p * Math.log(p) : 0)));
  const chosen = choicesFor(t, input, shape, step, noisy, scores);
  return {
    input: read,
    logits,
    noisy,
    scores,
    shares,
    logSumExp,
    entropy,
    chosen,
    unused: unusedOf(t, chosen, scores, shape, step),
    priority: chosen.map((id, k) => priorityOf(t, k, scores[id]!, shape, step)),
    thresholds: isNoisy
      ? thresholdsOf(
          scores.map((s, e) => s + input.bias[e]!),
          chosen,
        )
      : null,
  };
}

function routerInput(
  t: number,
  { x }: GateInput,
  { hidden, noise, jitter }: LayerShape,
  step: LayerStep,
): Float64Array {
  return Float64Array.from({ length: hidden }, (_, d) => {
    const value = x[t * hidden + d]!;
    if (noise !== 'jitter' || !step.training) return value;
    return value * (1 + jitter * (2 * unit(draw(step, 'jitter', t, d)[0]) - 1));
  });
}

function logitsOf(t: number, { x, router }: GateInput, read: Float64Array, shape: LayerShape): Float64Array {
  const { hidden, residual } = shape;
  const rows = router.length / hidden;
  return Float64Array.from({ length: rows }, (_, m) => {
    const isMix = residual && m >= rows - 2;
    let sum = 0;
    for (let d = 0; d < hidden; d++) sum += router[m * hidden + d]! * (isMix ? x[t * hidden + d]! : read[d]!);
    return sum;
  });
}

function scoresOf(noisy: Float64Array, score: LayerShape['score'], logSumExp: number): Float64Array {
  if (score === 'softmax') return noisy.map((h) => Math.exp(h - logSumExp));
  return score === 'sigmoid' ? noisy.map(sigmoid) : noisy.map((h) => Math.sqrt(softplus(h)));
}

/** Indices by descending key; ties go to the lower one. */
const order = (keys: ArrayLike<number>): number[] =>
  Array.from(keys, (_, e) => e).sort((a, b) => keys[b]! - keys[a]! || a - b);

function choicesFor(
  t: number,
  { bias, tokenIds }: GateInput,
  shape: LayerShape,
  step: LayerStep,
  noisy: Float64Array,
  scores: Float64Array,
): number[] {
  const { chooses, topK, noise, secondSampled } = shape;
  if (chooses === 'experts') return Array.from(scores, (_, e) => e);
  if (chooses === 'hash') {
    const always = { seed: step.seed, step: 0 };
    return order(scores.map((_, e) => unit(draw(always, 'hash', tokenIds![t]!, e)[0]))).slice(0, topK);
  }
  if (chooses === 'random') return order(scores.map((_, e) => unit(draw(step, 'random', t, e)[0]))).slice(0, topK);
  const drawn = (e: number): number => noisy[e]! + gumbel(step, t, e);
  const keys = scores.map((s, e) => bias[e]! + (noise === 'gumbel' && step.training ? drawn(e) : s));
  const allowed = groupsKept(keys, shape);
  const ranked = order(keys).filter((e) => allowed(e));
  if (!secondSampled || !step.training) return ranked.slice(0, topK);
  const [first] = ranked;
  return [first!, order(scores.map((_, e) => (e === first ? -Infinity : drawn(e))))[0]!];
}

function groupsKept(keys: Float64Array, { groups }: LayerShape): (e: number) => boolean {
  if (!groups) return () => true;
  const size = keys.length / groups.count;
  const ranks = Array.from({ length: groups.count }, (_, g) => {
    const best = keys.slice(g * size, (g + 1) * size).sort((a, b) => b - a);
    return groups.rank === 'max' ? best[0]! : best[0]! + best[1]!;
  });
  const kept = order(ranks).slice(0, groups.keep);
  return (e) => kept.includes(Math.floor(e / size));
}

function unusedOf(
  t: number,
  chosen: readonly number[],
  scores: Float64Array,
  { secondRandom }: LayerShape,
  step: LayerStep,
): boolean[] {
  if (!secondRandom || !step.training) return chosen.map(() => false);
  const [first, second] = [scores[chosen[0]!]!, scores[chosen[1]!]!];
  return [false, (2 * second) / (first + second) <= unit(draw(step, 'second', t, 0)[0])];
}

function priorityOf(t: number, k: number, score: number, { fill }: LayerShape, step: LayerStep): number {
  if (fill === 'scores') return score;
  return fill === 'lot' && step.training ? unit(draw(step, 'lot', t, k)[0]) : 0;
}

/** A chosen one has to exceed the best that was not chosen, any other the last that was. */
function thresholdsOf(keys: Float64Array, chosen: readonly number[]): number[] {
  const behind = order(keys)[chosen.length]!;
  return Array.from(keys, (_, e) => (chosen.includes(e) ? behind : chosen.at(-1)!));
}
