// Weight format int4: 8 a word; weight i < 4 at bit 8i, weight 4 + i at bit 8i + 4. See src/weights/layout.ts and weights/bf16.wgsl.
#import weights/int_group
override W_CHUNKS: u32;
override W_CHUNK_VEC4: u32;

/// Nibbles become floats where they are, as bytes do in weights/int8.
fn int4_low(u: u32, zero: f32) -> vec4<f32> {
  let bits = vec4<u32>(u) & vec4<u32>(0xfu, 0xf00u, 0xf0000u, 0xf000000u);
  return vec4<f32>(bitcast<vec4<i32>>(bits)) * vec4<f32>(1.0, 0x1p-8, 0x1p-16, 0x1p-24) - vec4<f32>(zero);
}

/// The top nibble is converted as signed, so its q comes 8 lower than it is.
fn int4_high(u: u32, zero: f32) -> vec4<f32> {
  let bits = vec4<u32>(u ^ 0x80000000u) & vec4<u32>(0xf0u, 0xf000u, 0xf00000u, 0xf0000000u);
  return vec4<f32>(bitcast<vec4<i32>>(bits)) * vec4<f32>(0x1p-4, 0x1p-12, 0x1p-20, 0x1p-28) -
    vec4<f32>(zero, zero, zero, zero - 8.0);
}

fn unscaled32(matrix: u32, row: u32, chunk: u32) -> array<vec4<f32>, 8> {
  let u = values[matrix + (row * W_CHUNKS + chunk) * W_CHUNK_VEC4];
  let zero = int_zero(matrix, row, chunk, 8.0);
  return array<vec4<f32>, 8>(
    int4_low(u.x, zero),
    int4_high(u.x, zero),
    int4_low(u.y, zero),
    int4_high(u.y, zero),
    int4_low(u.z, zero),
    int4_high(u.z, zero),
    int4_low(u.w, zero),
    int4_high(u.w, zero),
  );
}
