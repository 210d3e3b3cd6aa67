// The inputs of a linear map, four neighbouring values at a time: x[t, 4*quad ..], zero from K on. X_CHUNKS says that K, X_ROW and X_AT are multiples
// of 32 and x an array of chunks, X_VEC4 that they are of four and x an array of vec4; K_TAIL says that K is not whole chunks of 32. The importer
// declares x.
override K: u32;
override X_ROW: u32;
override X_AT: u32;

#if X_CHUNKS
/// In chunks, because a browser clamps an index that it does not know: so it does once for 32 values.
fn x_quad(t: u32, quad: u32) -> vec4<f32> {
  return x[(t * X_ROW + X_AT) / 32u + quad / 8u][quad % 8u];
}

fn x_chunk(t: u32, chunk: u32) -> array<vec4<f32>, 8> {
  let c = &x[(t * X_ROW + X_AT) / 32u + chunk];
  return array<vec4<f32>, 8>((*c)[0], (*c)[1], (*c)[2], (*c)[3], (*c)[4], (*c)[5], (*c)[6], (*c)[7]);
}
#else
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
#endif
