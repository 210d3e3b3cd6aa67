// Weight format mxfp4: e2m1 nibbles placed as in int4, one e8m0 scale 2^(s-127) for 32. See src/weights/layout.ts and weights/bf16.wgsl.
// s = 255 stands for NaN: here the chunk's weights become infinities or NaN, whichever the arithmetic gives.
#import weights/scaled
#import byte_floats
override W_CHUNKS: u32;
override W_CHUNK_VEC4: u32;
override W_SCALES_AT: u32;
override W_SCALE_ROW: u32;

/// The nibbles in the low halves of a word's bytes become 16 + 2 w, all four at once: twice the magnitudes 0, .5, 1, 1.5, 2, 3, 4, 6 are n for n < 4, beyond
/// that n + 0, 1, 2, 5. Bit 3 is the sign.
fn e2m1_bytes(u: u32) -> u32 {
  let beyond = (u >> 2u) & 0x01010101u;
  let more = u & (beyond * 3u);
  let most = more & (more >> 1u) & 0x01010101u;
  let doubled = (u & 0x07070707u) + more + 2u * most;
  let signs = ((u >> 3u) & 0x01010101u) * 15u;
  return (doubled ^ signs) + (0x10101010u - signs);
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
  let factor = small_factor(half);
  let zero = 16.0 * half;
  return array<vec4<f32>, 8>(
    small_quad(e2m1_bytes(u.x), factor, zero),
    small_quad(e2m1_bytes(u.x >> 4u), factor, zero),
    small_quad(e2m1_bytes(u.y), factor, zero),
    small_quad(e2m1_bytes(u.y >> 4u), factor, zero),
    small_quad(e2m1_bytes(u.z), factor, zero),
    small_quad(e2m1_bytes(u.z >> 4u), factor, zero),
    small_quad(e2m1_bytes(u.w), factor, zero),
    small_quad(e2m1_bytes(u.w >> 4u), factor, zero),
  );
}

/// See weights/int4.
fn bytes32(matrix: u32, row: u32, chunk: u32) -> array<u32, 8> {
  let u = values[matrix + (row * W_CHUNKS + chunk) * W_CHUNK_VEC4];
  return array<u32, 8>(
    e2m1_bytes(u.x),
    e2m1_bytes(u.x >> 4u),
    e2m1_bytes(u.y),
    e2m1_bytes(u.y >> 4u),
    e2m1_bytes(u.z),
    e2m1_bytes(u.z >> 4u),
    e2m1_bytes(u.w),
    e2m1_bytes(u.w >> 4u),
  );
}

const BYTE_MIDDLE: u32 = 16u;
const BYTE_SIGN: u32 = 0u;
const BYTE_OFFSET: f32 = 0.0;

fn byte_zero(matrix: u32, row: u32, chunk: u32) -> f32 {
  return 16.0;
}

fn byte_unit(matrix: u32, row: u32, chunk: u32) -> f32 {
  return select(0.5, 0.25, mxfp4_exponent(matrix, row, chunk) == 0u);
}
