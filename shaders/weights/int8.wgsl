// Weight format int8: 4 a word, k ascending from the low byte. See src/weights/layout.ts and weights/bf16.wgsl.
#import weights/int_group
#import byte_floats
override W_CHUNKS: u32;
override W_CHUNK_VEC4: u32;

fn unscaled32(matrix: u32, row: u32, chunk: u32) -> array<vec4<f32>, 8> {
  let at = matrix + (row * W_CHUNKS + chunk) * W_CHUNK_VEC4;
  let a = values[at];
  let b = values[at + 1u];
  let zero = int_zero(matrix, row, chunk, 128.0);
  return array<vec4<f32>, 8>(
    byte_quad(a.x, zero),
    byte_quad(a.y, zero),
    byte_quad(a.z, zero),
    byte_quad(a.w, zero),
    byte_quad(b.x, zero),
    byte_quad(b.y, zero),
    byte_quad(b.z, zero),
    byte_quad(b.w, zero),
  );
}

/// See weights/int4.
fn bytes32(matrix: u32, row: u32, chunk: u32) -> array<u32, 8> {
  let at = matrix + (row * W_CHUNKS + chunk) * W_CHUNK_VEC4;
  let a = values[at];
  let b = values[at + 1u];
  return array<u32, 8>(a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w);
}

const BYTE_MIDDLE: u32 = 128u;
/// As signed bytes they are 128 less.
const BYTE_SIGN: u32 = 0x80808080u;
const BYTE_OFFSET: f32 = 128.0;

fn byte_zero(matrix: u32, row: u32, chunk: u32) -> f32 {
  return int_zero(matrix, row, chunk, 128.0);
}

fn byte_unit(matrix: u32, row: u32, chunk: u32) -> f32 {
  return 1.0;
}
