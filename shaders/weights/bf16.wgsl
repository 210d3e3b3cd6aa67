// Weight format bf16: two a word, even k in the low half. See src/weights/layout.ts.
// The shader that imports a weight format declares, over the same bytes,
//   values: array<vec4<u32>>   and   scale_word(at: u32) -> u32, word `at`
// and calls weight32(matrix, row, chunk): the 32 weights k = 32*chunk.. of a row, where `matrix` is the matrix's first word divided by 4. A dot
// product had better take unscaled32, and multiply by weight_scale once.
#import weights/unscaled
override W_CHUNKS: u32;
override W_CHUNK_VEC4: u32;

fn bf16_pairs(u: vec4<u32>) -> array<vec4<f32>, 2> {
  let even = bitcast<vec4<f32>>(u * vec4<u32>(0x10000u)); // a shift; software adapters shift lane by lane
  let odd = bitcast<vec4<f32>>(u & vec4<u32>(0xffff0000u));
  return array<vec4<f32>, 2>(vec4<f32>(even.x, odd.x, even.y, odd.y), vec4<f32>(even.z, odd.z, even.w, odd.w));
}

fn weight32(matrix: u32, row: u32, chunk: u32) -> array<vec4<f32>, 8> {
  let at = matrix + (row * W_CHUNKS + chunk) * W_CHUNK_VEC4;
  let a = bf16_pairs(values[at]);
  let b = bf16_pairs(values[at + 1u]);
  let c = bf16_pairs(values[at + 2u]);
  let d = bf16_pairs(values[at + 3u]);
  return array<vec4<f32>, 8>(a[0], a[1], b[0], b[1], c[0], c[1], d[0], d[1]);
}
