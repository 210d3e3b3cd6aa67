// The inputs of a linear map, four neighbouring values at a time: x[t, 4*quad ..], zero from K on. X_VEC4 says that K, X_ROW and X_AT are
// multiples of four, and that x is an array of vec4; K_TAIL says that K is not whole chunks of 32. The importer declares x.
override K: u32;
override X_ROW: u32;
override X_AT: u32;

#if X_VEC4
fn x_quad(t: u32, quad: u32) -> vec4<f32> {
#if K_TAIL
  if (quad >= K / 4u) { return vec4<f32>(); }
#endif
  return x[(t * X_ROW + X_AT) / 4u + quad];
}
#else
fn x_one(t: u32, k: u32) -> f32 {
#if K_TAIL
  if (k >= K) { return 0.0; }
#endif
  return x[t * X_ROW + X_AT + k];
}

fn x_quad(t: u32, quad: u32) -> vec4<f32> {
  let k = quad * 4u;
  return vec4<f32>(x_one(t, k), x_one(t, k + 1u), x_one(t, k + 2u), x_one(t, k + 3u));
}
#endif

fn x_chunk(t: u32, chunk: u32) -> array<vec4<f32>, 8> {
  let q = chunk * 8u;
  return array<vec4<f32>, 8>(
    x_quad(t, q),
    x_quad(t, q + 1u),
    x_quad(t, q + 2u),
    x_quad(t, q + 3u),
    x_quad(t, q + 4u),
    x_quad(t, q + 5u),
    x_quad(t, q + 6u),
    x_quad(t, q + 7u),
  );
}
