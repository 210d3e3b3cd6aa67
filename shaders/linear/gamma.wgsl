// The gains of an RMS norm that a linear map applies on the way: gamma[4*quad ..], zero from K on. See linear/x_rows.
#if X_CHUNKS
@group(0) @binding(7) var<storage, read> gamma: array<vec4<f32>>;

fn gamma_quad(quad: u32) -> vec4<f32> {
  return gamma[quad];
}
#else
#if X_VEC4
@group(0) @binding(7) var<storage, read> gamma: array<vec4<f32>>;

fn gamma_quad(quad: u32) -> vec4<f32> {
#if K_TAIL
  if (quad >= K / 4u) { return vec4<f32>(); }
#endif
  return gamma[quad];
}
#else
@group(0) @binding(7) var<storage, read> gamma: array<f32>;

fn gamma_one(k: u32) -> f32 {
#if K_TAIL
  if (k >= K) { return 0.0; }
#endif
  return gamma[k];
}

fn gamma_quad(quad: u32) -> vec4<f32> {
  let k = quad * 4u;
  return vec4<f32>(gamma_one(k), gamma_one(k + 1u), gamma_one(k + 2u), gamma_one(k + 3u));
}
#endif
#endif
