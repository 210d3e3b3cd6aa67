// Weight format f16: two a word, even k in the low half; subnormals are exact. See src/weights/layout.ts and weights/bf16.wgsl.
#import shared/f16
#import weights/unscaled
override W_CHUNKS: u32;
override W_CHUNK_VEC4: u32;

fn f16_pairs(u: vec4<u32>) -> array<vec4<f32>, 2> {
  return array<vec4<f32>, 2>(vec4<f32>(f16_pair(u.x), f16_pair(u.y)), vec4<f32>(f16_pair(u.z), f16_pair(u.w)));
}

fn weight32(matrix: u32, row: u32, chunk: u32) -> array<vec4<f32>, 8> {
  let at = matrix + (row * W_CHUNKS + chunk) * W_CHUNK_VEC4;
  let a = f16_pairs(values[at]);
  let b = f16_pairs(values[at + 1u]);
  let c = f16_pairs(values[at + 2u]);
  let d = f16_pairs(values[at + 3u]);
  return array<vec4<f32>, 8>(a[0], a[1], b[0], b[1], c[0], c[1], d[0], d[1]);
}
