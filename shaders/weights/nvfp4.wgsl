// Weight format nvfp4: e2m1 nibbles placed as in int4; a row's scales are an f32 for all of it, then one e4m3 byte for 16 weights. See
// src/weights/layout.ts and weights/bf16.wgsl.
#import weights/e2m1
#import weights/e4m3
#import weights/scaled
override W_CHUNKS: u32;
override W_CHUNK_VEC4: u32;
override W_SCALES_AT: u32;
override W_SCALE_ROW: u32;

fn weight_scale(matrix: u32, row: u32, chunk: u32) -> f32 {
  return bitcast<f32>(scale_word(matrix * 4u + W_SCALES_AT + row * W_SCALE_ROW));
}

/// Two scales a chunk: exact products, as 2 bits times 4.
fn unscaled32(matrix: u32, row: u32, chunk: u32) -> array<vec4<f32>, 8> {
  let u = values[matrix + (row * W_CHUNKS + chunk) * W_CHUNK_VEC4];
  let quad = e4m3_quad(scale_word(matrix * 4u + W_SCALES_AT + row * W_SCALE_ROW + 1u + chunk / 2u)) * 0.5;
  let halves = select(quad.xy, quad.zw, chunk % 2u == 1u);
  return array<vec4<f32>, 8>(
    e2m1_quad(u.x, 0u, halves.x),
    e2m1_quad(u.x, 4u, halves.x),
    e2m1_quad(u.y, 0u, halves.x),
    e2m1_quad(u.y, 4u, halves.x),
    e2m1_quad(u.z, 0u, halves.y),
    e2m1_quad(u.z, 4u, halves.y),
    e2m1_quad(u.w, 0u, halves.y),
    e2m1_quad(u.w, 4u, halves.y),
  );
}
