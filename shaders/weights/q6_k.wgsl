// Weight format q6_k of ggml: d s (q - 32). Nibbles placed as in int4, the two bits above them in a plane of their own; a row's scales are a signed byte s
// for 16 weights, then a half d for 256. See src/weights/layout.ts and weights/bf16.wgsl. s (q - 32) is a whole number: a weight is rounded once.
#import shared/f16
#import weights/scaled
#import byte_floats
override W_CHUNKS: u32;
override W_CHUNK_VEC4: u32;
override W_SCALES_AT: u32;
override W_SCALE_ROW: u32;
override W_ZEROS_AT: u32;
override W_ZERO_ROW: u32;

fn weight_scale(matrix: u32, row: u32, chunk: u32) -> f32 {
  let block = chunk / 8u;
  let halves = matrix * 4u + W_SCALES_AT + row * W_SCALE_ROW + W_CHUNKS / 2u;
  let pair = f16_pair(scale_word(halves + block / 2u));
  return select(pair.x, pair.y, block % 2u == 1u);
}

fn q6_quad(u: u32, high: u32, s: f32) -> vec4<f32> {
  return small_quad((u & 0x0f0f0f0fu) | ((high & 0x03030303u) << 4u), small_factor(s), 32.0 * s);
}

fn unscaled32(matrix: u32, row: u32, chunk: u32) -> array<vec4<f32>, 8> {
  let u = values[matrix + (row * W_CHUNKS + chunk) * W_CHUNK_VEC4];
  let bytes = scale_word(matrix * 4u + W_SCALES_AT + row * W_SCALE_ROW + chunk / 2u) >> (16u * (chunk % 2u));
  let s = vec2<f32>(vec2<i32>(bitcast<i32>(bytes << 24u) >> 24u, bitcast<i32>(bytes << 16u) >> 24u));
  let at = matrix * 4u + W_ZEROS_AT + row * W_ZERO_ROW + 2u * chunk;
  let a = scale_word(at);
  let b = scale_word(at + 1u);
  return array<vec4<f32>, 8>(
    q6_quad(u.x, a, s.x),
    q6_quad(u.x >> 4u, a >> 2u, s.x),
    q6_quad(u.y, a >> 4u, s.x),
    q6_quad(u.y >> 4u, a >> 6u, s.x),
    q6_quad(u.z, b, s.y),
    q6_quad(u.z >> 4u, b >> 2u, s.y),
    q6_quad(u.w, b >> 4u, s.y),
    q6_quad(u.w >> 4u, b >> 6u, s.y),
  );
}
