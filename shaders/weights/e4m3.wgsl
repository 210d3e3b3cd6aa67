// Four 8-bit floats of a word, k ascending from the low byte: sign, 4 bits of exponent with bias 7, 3 of mantissa. Whole mantissas times a power of
// two, so that nothing passes through a subnormal f32. The two codes of NaN are refused before they reach the GPU.
fn e4m3_quad(u: u32) -> vec4<f32> {
  let b = (vec4<u32>(u) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u);
  let exponent = (b >> vec4<u32>(3u)) & vec4<u32>(15u);
  let mantissa = (b & vec4<u32>(7u)) | select(vec4<u32>(0u), vec4<u32>(8u), exponent > vec4<u32>(0u));
  // 2^(exponent - 10), as bits.
  let unit = bitcast<vec4<f32>>((max(exponent, vec4<u32>(1u)) + vec4<u32>(117u)) << vec4<u32>(23u));
  let magnitude = vec4<f32>(mantissa) * unit;
  return select(magnitude, -magnitude, b > vec4<u32>(127u));
}
