// Weight format int4: 8 a word; weight i < 4 at bit 8i, weight 4 + i at bit 8i + 4. See src/weights/layout.ts and weights/bf16.wgsl.
#import weights/int_group
#import byte_floats
override W_CHUNKS: u32;
override W_CHUNK_VEC4: u32;

fn unscaled32(matrix: u32, row: u32, chunk: u32) -> array<vec4<f32>, 8> {
  let u = values[matrix + (row * W_CHUNKS + chunk) * W_CHUNK_VEC4];
  let zero = int_zero(matrix, row, chunk, 8.0);
  return array<vec4<f32>, 8>(
    low_quad(u.x, zero),
    high_quad(u.x, zero),
    low_quad(u.y, zero),
    high_quad(u.y, zero),
    low_quad(u.z, zero),
    high_quad(u.z, zero),
    low_quad(u.w, zero),
    high_quad(u.w, zero),
  );
}

/// The same as bytes in k order, with the zero to take off: see weights/products_bytes.
fn bytes32(matrix: u32, row: u32, chunk: u32) -> array<u32, 8> {
  let u = values[matrix + (row * W_CHUNKS + chunk) * W_CHUNK_VEC4];
  let low = u & vec4<u32>(0x0f0f0f0fu);
  let high = (u >> vec4<u32>(4u)) & vec4<u32>(0x0f0f0f0fu);
  return array<u32, 8>(low.x, high.x, low.y, high.y, low.z, high.z, low.w, high.w);
}

const BYTE_MIDDLE: u32 = 8u;
const BYTE_SIGN: u32 = 0u;
const BYTE_OFFSET: f32 = 0.0;

fn byte_zero(matrix: u32, row: u32, chunk: u32) -> f32 {
  return int_zero(matrix, row, chunk, 8.0);
}

fn byte_unit(matrix: u32, row: u32, chunk: u32) -> f32 {
  return 1.0;
}
