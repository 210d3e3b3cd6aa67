// The largest magnitude of 32 values.
fn largest32(x: array<vec4<f32>, 8>) -> f32 {
  let a = max(max(abs(x[0]), abs(x[1])), max(abs(x[2]), abs(x[3])));
  let b = max(max(abs(x[4]), abs(x[5])), max(abs(x[6]), abs(x[7])));
  let c = max(a, b);
  return max(max(c.x, c.y), max(c.z, c.w));
}
