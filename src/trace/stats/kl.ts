/** How far two next-token distributions are apart, from their logits; in doubles. */
import { InvalidRequest } from '../../errors.ts';

export interface Divergence {
  /** Σ p ln(p / q) in nats, p before and q after (Kullback and Leibler 1951). */
  readonly forward: number;
  /** Σ q ln(q / p) */
  readonly backward: number;
  /** Half of Σ |p - q|: the share of draws that must change. */
  readonly totalVariation: number;
}

export interface Mover {
  readonly id: number;
  /** Probabilities. */
  readonly before: number;
  readonly after: number;
}

function logSoftmax(logits: ArrayLike<number>): Float64Array {
  let most = -Infinity;
  for (let i = 0; i < logits.length; i++) most = Math.max(most, logits[i]!);
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i]! - most);
  const norm = most + Math.log(sum);
  return Float64Array.from({ length: logits.length }, (_, i) => logits[i]! - norm);
}

function bothOf(before: ArrayLike<number>, after: ArrayLike<number>): readonly [Float64Array, Float64Array] {
  if (before.length !== after.length || before.length === 0)
    throw new InvalidRequest(`logits of ${before.length} and of ${after.length} tokens do not compare`, {});
  return [logSoftmax(before), logSoftmax(after)];
}

/** Equal logits give exactly 0. @throws InvalidRequest for vocabularies of different sizes */
export function divergenceOf(before: ArrayLike<number>, after: ArrayLike<number>): Divergence {
  const [p, q] = bothOf(before, after);
  let [forward, backward, distance] = [0, 0, 0];
  for (let i = 0; i < p.length; i++) {
    const [a, b] = [Math.exp(p[i]!), Math.exp(q[i]!)];
    forward += a > 0 ? a * (p[i]! - q[i]!) : 0;
    backward += b > 0 ? b * (q[i]! - p[i]!) : 0;
    distance += Math.abs(a - b);
  }
  return { forward, backward, totalVariation: distance / 2 };
}

/** The `most` tokens whose probability changed most, the largest change first, the lower id of equals. */
export function moversOf(before: ArrayLike<number>, after: ArrayLike<number>, most: number): Mover[] {
  const [p, q] = bothOf(before, after);
  const change = Float64Array.from(p, (a, i) => Math.abs(Math.exp(a) - Math.exp(q[i]!)));
  return Array.from(change.keys())
    .filter((i) => change[i]! > 0)
    .sort((i, j) => change[j]! - change[i]! || i - j)
    .slice(0, most)
    .map((id) => ({ id, before: Math.exp(p[id]!), after: Math.exp(q[id]!) }));
}
