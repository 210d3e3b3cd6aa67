/** Twin of shaders/moe/weigh_rows.wgsl. x [T, D], weights [T]; returns [T, D]. */
export const weighRows = (x: ArrayLike<number>, weights: ArrayLike<number>, hidden: number): Float64Array =>
  Float64Array.from(x, (value, i) => weights[Math.floor(i / hidden)]! * value);
