// weight32 of a format whose chunks have a scale: its `unscaled32` times its `weight_scale`.
fn weight32(matrix: u32, row: u32, chunk: u32) -> array<vec4<f32>, 8> {
  let u = unscaled32(matrix, row, chunk);
  let s = weight_scale(matrix, row, chunk);
  return array<vec4<f32>, 8>(s * u[0], s * u[1], s * u[2], s * u[3], s * u[4], s * u[5], s * u[6], s * u[7]);
}
