/** Two distributions over the next token, over many tokens: perplexities, divergence, agreement, each with its sampling error. Pure. */
import { invariant } from '../../util/assert.ts';
import { sum } from '../../util/math.ts';

export interface Estimate {
  readonly value: number;
  /** Standard error of the mean over tokens, carried to `value`. */
  readonly standardError: number;
}

export interface Comparison {
  readonly first: { readonly name: string; readonly perplexity: Estimate };
  readonly second: { readonly name: string; readonly perplexity: Estimate };
  /** Mean of -log p of the true token, the second's less the first's, in nats. */
  readonly lossDifference: Estimate;
  /** KL(first || second) of each token's distribution, in nats. */
  readonly kl: { readonly mean: Estimate; readonly median: number; readonly p99: number; readonly most: number };
  /** Share of the tokens for which both find the same one likeliest. */
  readonly sameBest: Estimate;
  /** Tokens that were predicted: of a window all but the first. */
  readonly tokens: number;
  readonly windows: number;
}

/** Natural logarithm of the softmax. */
function logSoftmax(logits: Float32Array, out: Float64Array): void {
  let most = -Infinity;
  for (const x of logits) most = Math.max(most, x);
  let total = 0;
  for (const x of logits) total += Math.exp(x - most);
  const shift = most + Math.log(total);
  for (let i = 0; i < logits.length; i++) out[i] = logits[i]! - shift;
}

const best = (values: Float64Array): number => values.reduce((at, x, i) => (x > values[at]! ? i : at), 0);

function estimate(values: readonly number[]): Estimate {
  const n = values.length;
  const mean = sum(values) / n;
  const variance = n > 1 ? sum(values.map((x) => (x - mean) ** 2)) / (n - 1) : 0;
  return { value: mean, standardError: Math.sqrt(variance / n) };
}

/** exp of a mean: its relative error is the mean's error. */
function perplexity(losses: readonly number[]): Estimate {
  const { value, standardError } = estimate(losses);
  return { value: Math.exp(value), standardError: Math.exp(value) * standardError };
}

export interface Comparing {
  /** @param ids of a window; logits [T, V] of each of its tokens, of which the last predicts nothing that is known */
  add(ids: readonly number[], first: Float32Array, second: Float32Array): void;
  result(): Comparison;
}

export function comparison(given: {
  readonly first: string;
  readonly second: string;
  readonly vocab: number;
}): Comparing {
  const { vocab } = given;
  const [p, q] = [new Float64Array(vocab), new Float64Array(vocab)];
  const [losses, others, divergences, agreements]: [number[], number[], number[], number[]] = [[], [], [], []];
  let windows = 0;
  return {
    add(ids, first, second) {
      invariant(first.length === ids.length * vocab && second.length === first.length, 'logits of another text');
      windows++;
      for (let t = 0; t + 1 < ids.length; t++) {
        logSoftmax(first.subarray(t * vocab, (t + 1) * vocab), p);
        logSoftmax(second.subarray(t * vocab, (t + 1) * vocab), q);
        let kl = 0;
        for (let i = 0; i < vocab; i++) kl += Math.exp(p[i]!) * (p[i]! - q[i]!);
        losses.push(-p[ids[t + 1]!]!);
        others.push(-q[ids[t + 1]!]!);
        divergences.push(kl);
        agreements.push(best(p) === best(q) ? 1 : 0);
      }
    },
    result() {
      const sorted = divergences.toSorted((a, b) => a - b);
      const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
      return {
        first: { name: given.first, perplexity: perplexity(losses) },
        second: { name: given.second, perplexity: perplexity(others) },
        lossDifference: estimate(losses.map((loss, i) => others[i]! - loss)),
        kl: { mean: estimate(divergences), median: at(0.5), p99: at(0.99), most: sorted.at(-1)! },
        sameBest: estimate(agreements),
        tokens: losses.length,
        windows,
      };
    },
  };
}
