// The product of two chunks of 32 values, in a fixed order.
fn dot32(a: array<vec4<f32>, 8>, b: array<vec4<f32>, 8>) -> f32 {
  let even = a[0] * b[0] + a[2] * b[2] + a[4] * b[4] + a[6] * b[6];
  let odd = a[1] * b[1] + a[3] * b[3] + a[5] * b[5] + a[7] * b[7];
  let s = even + odd;
  return (s.x + s.y) + (s.z + s.w);
}
