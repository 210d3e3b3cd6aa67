// Weight format int8: 4 a word, k ascending from the low byte. See src/weights/layout.ts and weights/bf16.wgsl.
#import weights/int_group
override W_CHUNKS: u32;
override W_CHUNK_VEC4: u32;

fn int8_quad(u: u32, group: IntGroup) -> vec4<f32> {
  let q = (vec4<u32>(u) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u);
  return group.scale * (vec4<f32>(q) - vec4<f32>(group.zero));
}

fn weight32(matrix: u32, row: u32, chunk: u32) -> array<vec4<f32>, 8> {
  let at = matrix + (row * W_CHUNKS + chunk) * W_CHUNK_VEC4;
  let a = values[at];
  let b = values[at + 1u];
  let group = int_group(matrix, row, chunk, 128.0);
  return array<vec4<f32>, 8>(
    int8_quad(a.x, group),
    int8_quad(a.y, group),
    int8_quad(a.z, group),
    int8_quad(a.w, group),
    int8_quad(b.x, group),
    int8_quad(b.y, group),
    int8_quad(b.z, group),
    int8_quad(b.w, group),
  );
}
