// A format without scales: `weight32` is all there is.
fn unscaled32(matrix: u32, row: u32, chunk: u32) -> array<vec4<f32>, 8> {
  return weight32(matrix, row, chunk);
}

fn weight_scale(matrix: u32, row: u32, chunk: u32) -> f32 {
  return 1.0;
}
