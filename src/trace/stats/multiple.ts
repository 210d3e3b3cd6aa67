/** Many looks at once: of a hundred experts that are all alike, five lie outside their 95 % bands. */
import { twoSided } from './distributions.ts';

/**
 * Benjamini and Hochberg 1995: calling everything with q <= 0.05 different, at most one in twenty of these calls is wrong on average. Tokens of one
 * text depend on each other, so that z is too large and q too small; it sorts what to look at, it does not prove.
 * @param z standard normal deviates; NaN is left out and gives NaN
 * @returns q of each
 */
export function falseDiscovery(z: ArrayLike<number>): Float64Array {
  const q = new Float64Array(z.length).fill(NaN);
  const order = Array.from({ length: z.length }, (_, i) => i).filter((i) => !Number.isNaN(z[i]!));
  order.sort((a, b) => Math.abs(z[a]!) - Math.abs(z[b]!) || a - b);
  let least = 1;
  order.forEach((i, at) => {
    least = Math.min(least, (twoSided(z[i]!) * order.length) / (order.length - at));
    q[i] = least;
  });
  return q;
}
