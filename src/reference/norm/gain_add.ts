/** Twin of shaders/norm/gain_add.wgsl. added and x [T, D], gains [3 D]; returns [T, D]. */
export function gainAdd(added: ArrayLike<number>, x: ArrayLike<number>, gains: ArrayLike<number>): Float64Array {
  const size = gains.length / 3;
  return Float64Array.from(added, (value, i) => {
    const d = i % size;
    return gains[d]! * value + gains[size + d]! * x[i]! + gains[2 * size + d]!;
  });
}
