// Weight formats q4_k and q5_k of ggml: d s q - dmin m. Nibbles placed as in int4, with W_FIFTH a fifth bit of each in a plane of its own; for 256
// weights one word with the halves d and dmin and three with a scale s and a minimum m of 6 bits for each 32. See src/weights/layout.ts and weights/bf16.wgsl.
// d s q is exact in f32, 11 + 6 + 5 bits: a weight is rounded once.
#import shared/f16
#import weights/unscaled
#import byte_floats
override W_CHUNKS: u32;
override W_CHUNK_VEC4: u32;
override W_SCALES_AT: u32;
override W_SCALE_ROW: u32;
#if W_FIFTH
override W_ZEROS_AT: u32;
override W_ZERO_ROW: u32;
#endif

/// d s and dmin m of a chunk. The twelve bytes hold s and m of chunks 0 to 3 in the low six bits of bytes j and 4 + j; of the others, four bits each in
/// byte 4 + j, and two in the high bits of bytes j - 4 and j.
fn k_scale(matrix: u32, row: u32, chunk: u32) -> vec2<f32> {
  let at = matrix * 4u + W_SCALES_AT + row * W_SCALE_ROW + chunk / 8u * 4u;
  let shift = 8u * (chunk % 4u);
  let first = scale_word(at + 1u) >> shift;
  let second = scale_word(at + 2u) >> shift;
  let third = scale_word(at + 3u) >> shift;
  let low = vec2<u32>(first & 63u, second & 63u);
  let high = vec2<u32>((third & 15u) | ((first >> 2u) & 48u), ((third >> 4u) & 15u) | ((second >> 2u) & 48u));
  return f16_pair(scale_word(at)) * vec2<f32>(select(low, high, chunk % 8u >= 4u));
}

fn k_quad(u: u32, fifths: u32, factor: vec4<f32>, least: f32) -> vec4<f32> {
  return small_quad((u & 0x0f0f0f0fu) | ((fifths & 0x01010101u) << 4u), factor, least);
}

fn weight32(matrix: u32, row: u32, chunk: u32) -> array<vec4<f32>, 8> {
  let u = values[matrix + (row * W_CHUNKS + chunk) * W_CHUNK_VEC4];
  let scale = k_scale(matrix, row, chunk);
  let factor = small_factor(scale.x);
  let least = scale.y;
#if W_FIFTH
  let f = scale_word(matrix * 4u + W_ZEROS_AT + row * W_ZERO_ROW + chunk);
#else
  let f = 0u;
#endif
  return array<vec4<f32>, 8>(
    k_quad(u.x, f, factor, least),
    k_quad(u.x >> 4u, f >> 1u, factor, least),
    k_quad(u.y, f >> 2u, factor, least),
    k_quad(u.y >> 4u, f >> 3u, factor, least),
    k_quad(u.z, f >> 4u, factor, least),
    k_quad(u.z >> 4u, f >> 5u, factor, least),
    k_quad(u.w, f >> 6u, factor, least),
    k_quad(u.w >> 4u, f >> 7u, factor, least),
  );
}
