// Weight format mxfp4: e2m1 nibbles placed as in int4, one e8m0 scale 2^(s-127) for 32. See src/weights/layout.ts and weights/bf16.wgsl.
// s = 255 stands for NaN: here the chunk's weights become infinities or NaN, whichever the arithmetic gives.
#import weights/scaled
override W_CHUNKS: u32;
override W_CHUNK_VEC4: u32;
override W_SCALES_AT: u32;
override W_SCALE_ROW: u32;

/// Twice the magnitudes 0, .5, 1, 1.5, 2, 3, 4, 6 are the digits of a hexadecimal number; bit 3 of a nibble is the sign.
fn e2m1_quad(u: u32, shift: u32, half: f32) -> vec4<f32> {
  let n = vec4<u32>(u) >> (vec4<u32>(0u, 8u, 16u, 24u) + vec4<u32>(shift));
  let doubled = (vec4<u32>(0xc8643210u) >> ((n & vec4<u32>(7u)) * 4u)) & vec4<u32>(15u);
  let magnitude = vec4<f32>(doubled) * half;
  return select(magnitude, -magnitude, (n & vec4<u32>(8u)) != vec4<u32>(0u));
}

fn mxfp4_exponent(matrix: u32, row: u32, chunk: u32) -> u32 {
  return (scale_word(matrix * 4u + W_SCALES_AT + row * W_SCALE_ROW + chunk / 4u) >> (8u * (chunk % 4u))) & 255u;
}

/// 2^-127 is subnormal and a GPU may flush it: s = 0 gives 2^-126, and unscaled32 halves the value.
fn weight_scale(matrix: u32, row: u32, chunk: u32) -> f32 {
  return bitcast<f32>(max(mxfp4_exponent(matrix, row, chunk), 1u) << 23u);
}

fn unscaled32(matrix: u32, row: u32, chunk: u32) -> array<vec4<f32>, 8> {
  let u = values[matrix + (row * W_CHUNKS + chunk) * W_CHUNK_VEC4];
  let half = select(0.5, 0.25, mxfp4_exponent(matrix, row, chunk) == 0u);
  return array<vec4<f32>, 8>(
    e2m1_quad(u.x, 0u, half),
    e2m1_quad(u.x, 4u, half),
    e2m1_quad(u.y, 0u, half),
    e2m1_quad(u.y, 4u, half),
    e2m1_quad(u.z, 0u, half),
    e2m1_quad(u.z, 4u, half),
    e2m1_quad(u.w, 0u, half),
    e2m1_quad(u.w, 4u, half),
  );
}
