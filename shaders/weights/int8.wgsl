// Weight format int8: 4 a word, k ascending from the low byte. See src/weights/layout.ts and weights/bf16.wgsl.
#import weights/int_group
override W_CHUNKS: u32;
override W_CHUNK_VEC4: u32;

/// Bytes become floats where they are: f32(b << n) * 2^-n is exact, and needs no shift (which software adapters do lane by lane). The top byte
/// is converted as signed, so its q comes 128 lower than it is.
fn int8_quad(u: u32, zero: vec4<f32>) -> vec4<f32> {
  let bits = vec4<u32>(u ^ 0x80000000u) & vec4<u32>(0xffu, 0xff00u, 0xff0000u, 0xff000000u);
  return vec4<f32>(bitcast<vec4<i32>>(bits)) * vec4<f32>(1.0, 0x1p-8, 0x1p-16, 0x1p-24) - zero;
}

fn unscaled32(matrix: u32, row: u32, chunk: u32) -> array<vec4<f32>, 8> {
  let at = matrix + (row * W_CHUNKS + chunk) * W_CHUNK_VEC4;
  let a = values[at];
  let b = values[at + 1u];
  let zero = vec4<f32>(int_zero(matrix, row, chunk, 128.0)) - vec4<f32>(0.0, 0.0, 0.0, 128.0);
  return array<vec4<f32>, 8>(
    int8_quad(a.x, zero),
    int8_quad(a.y, zero),
    int8_quad(a.z, zero),
    int8_quad(a.w, zero),
    int8_quad(b.x, zero),
    int8_quad(b.y, zero),
    int8_quad(b.z, zero),
    int8_quad(b.w, zero),
  );
}
