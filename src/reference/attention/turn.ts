/**
 * RoPE of one head, in place: values from + 2 pairs of `x`, by the angles of `position` in `table` [positions, 2, pairs] (cos, then sin).
 * Twin of shaders/shared/rope.wgsl.
 */
export function turnHead(
  x: number[] | Float64Array,
  from: number,
  table: ArrayLike<number>,
  position: number,
  { pairs, interleaved }: { pairs: number; interleaved: boolean },
): void {
  for (let j = 0; j < pairs; j++) {
    const low = from + (interleaved ? 2 * j : j);
    const high = from + (interleaved ? 2 * j + 1 : j + pairs);
    const cos = table[(2 * position + 0) * pairs + j]!;
    const sin = table[(2 * position + 1) * pairs + j]!;
    const [a, b] = [x[low]!, x[high]!];
    x[low] = a * cos - b * sin;
    x[high] = b * cos + a * sin;
  }
}
