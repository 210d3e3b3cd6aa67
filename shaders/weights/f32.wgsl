// Weight format f32: one a word. See src/weights/layout.ts and weights/bf16.wgsl.
#import weights/unscaled
override W_CHUNKS: u32;
override W_CHUNK_VEC4: u32;

fn weight32(matrix: u32, row: u32, chunk: u32) -> array<vec4<f32>, 8> {
  let at = matrix + (row * W_CHUNKS + chunk) * W_CHUNK_VEC4;
  return array<vec4<f32>, 8>(
    bitcast<vec4<f32>>(values[at]),
    bitcast<vec4<f32>>(values[at + 1u]),
    bitcast<vec4<f32>>(values[at + 2u]),
    bitcast<vec4<f32>>(values[at + 3u]),
    bitcast<vec4<f32>>(values[at + 4u]),
    bitcast<vec4<f32>>(values[at + 5u]),
    bitcast<vec4<f32>>(values[at + 6u]),
    bitcast<vec4<f32>>(values[at + 7u]),
  );
}
