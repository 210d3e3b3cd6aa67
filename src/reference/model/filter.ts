/** Localized filtering: what q and k read. */
import type { GroupedAttentionNames } from '../../families/family.ts';
import { add, need, rmsNormed, type Weights } from './tensors.ts';

/** y[t][n] = bias[n] + sum over d of w[n][d][0] x[t-1][d] + w[n][d][1] x[t][d]; x before the first token is 0. */
function convolution(x: readonly Float64Array[], name: string, weights: Weights): Float64Array[] {
  const [w, bias] = [need(weights, `${name}.weight`), need(weights, `${name}.bias`)];
  const size = x[0]!.length;
  return x.map((now, t) =>
    bias.map((offset, n) => {
      let sum = offset;
      for (let d = 0; d < size; d++) {
        const at = 2 * (n * size + d);
        sum += w[at]! * (x[t - 1]?.[d] ?? 0) + w[at + 1]! * now[d]!;
      }
      return sum;
    }),
  );
}

/** x: normed tokens [T][D] */
export function filtered(
  x: readonly Float64Array[],
  { first, second, norm }: NonNullable<GroupedAttentionNames['filter']>,
  weights: Weights,
  eps: number,
): Float64Array[] {
  const around = convolution(convolution(x, first, weights), second, weights);
  return x.map((token, t) => rmsNormed(add(token, around[t]!), need(weights, norm), eps));
}
