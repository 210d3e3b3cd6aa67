/** Twin of shaders/moe/expert_down.wgsl; with combine.ts, of expert_down_decode.wgsl. */
import { product, type Assignment } from './expert_up.ts';

/** act [., F]; returns y, one row of D for each assignment. */
export function expertDown(
  act: ArrayLike<number>,
  assignments: readonly Assignment[],
  size: { readonly hidden: number; readonly width: number },
): Float64Array {
  const { hidden, width } = size;
  const y = new Float64Array(assignments.length * hidden);
  assignments.forEach(({ row, expert }, r) => {
    if (!expert) return;
    for (let d = 0; d < hidden; d++) {
      y[r * hidden + d] = product(expert.down, d, act, row, width) + (expert.downBias?.[d] ?? 0);
    }
  });
  return y;
}
