// Weight format int4: 8 a word; weight i < 4 at bit 8i, weight 4 + i at bit 8i + 4. See src/weights/layout.ts and weights/bf16.wgsl.
#import weights/int_group
override W_CHUNKS: u32;
override W_CHUNK_VEC4: u32;

/// The weights at bits `shift`, `shift` + 8, ...
fn int4_quad(u: u32, shift: u32, group: IntGroup) -> vec4<f32> {
  let q = (vec4<u32>(u) >> (vec4<u32>(0u, 8u, 16u, 24u) + vec4<u32>(shift))) & vec4<u32>(15u);
  return group.scale * (vec4<f32>(q) - vec4<f32>(group.zero));
}

fn weight32(matrix: u32, row: u32, chunk: u32) -> array<vec4<f32>, 8> {
  let u = values[matrix + (row * W_CHUNKS + chunk) * W_CHUNK_VEC4];
  let group = int_group(matrix, row, chunk, 8.0);
  return array<vec4<f32>, 8>(
    int4_quad(u.x, 0u, group),
    int4_quad(u.x, 4u, group),
    int4_quad(u.y, 0u, group),
    int4_quad(u.y, 4u, group),
    int4_quad(u.z, 0u, group),
    int4_quad(u.z, 4u, group),
    int4_quad(u.w, 0u, group),
    int4_quad(u.w, 4u, group),
  );
}
