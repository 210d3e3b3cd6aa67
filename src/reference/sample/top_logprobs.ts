/** Twin of shaders/sample/top_logprobs.wgsl: sorts, in doubles. */
import { bounded, logSum } from './sample.ts';

/** The n likeliest tokens of logits [V], likeliest first, the lower id of equals; all of them when V < n. */
export function topLogprobs(logits: ArrayLike<number>, n: number): { id: number; logprob: number }[] {
  const values = Array.from(logits, bounded);
  const order = [...values.keys()].sort((a, b) => values[b]! - values[a]! || a - b);
  const sum = logSum(logits);
  return order.slice(0, n).map((id) => ({ id, logprob: values[id]! - values[order[0]!]! - sum }));
}
