// Weight format fp8: e4m3, 4 a word, k ascending from the low byte, with a scale a group. See src/weights/layout.ts and weights/bf16.wgsl.
#import weights/e4m3
#import weights/int_group
override W_CHUNKS: u32;
override W_CHUNK_VEC4: u32;

fn unscaled32(matrix: u32, row: u32, chunk: u32) -> array<vec4<f32>, 8> {
  let at = matrix + (row * W_CHUNKS + chunk) * W_CHUNK_VEC4;
  let a = values[at];
  let b = values[at + 1u];
  return array<vec4<f32>, 8>(
    e4m3_quad(a.x),
    e4m3_quad(a.y),
    e4m3_quad(a.z),
    e4m3_quad(a.w),
    e4m3_quad(b.x),
    e4m3_quad(b.y),
    e4m3_quad(b.z),
    e4m3_quad(b.w),
  );
}
