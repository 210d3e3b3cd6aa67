// Two f16 of a word, low half first, exactly. WGSL lets unpack2x16float flush subnormals to zero, so those are made from their integers.
fn f16_pair(u: u32) -> vec2<f32> {
  let h = vec2<u32>(u & 0xffffu, u >> 16u);
  let magnitude = vec2<f32>(h & vec2<u32>(0x3ffu)) * 0x1p-24f;
  let subnormal = select(magnitude, -magnitude, (h & vec2<u32>(0x8000u)) != vec2<u32>(0u));
  return select(unpack2x16float(u), subnormal, (h & vec2<u32>(0x7c00u)) == vec2<u32>(0u));
}

/// The one of the low half, at half the cost.
fn f16_low(u: u32) -> f32 {
  let magnitude = f32(u & 0x3ffu) * 0x1p-24f;
  let subnormal = select(magnitude, -magnitude, (u & 0x8000u) != 0u);
  return select(unpack2x16float(u).x, subnormal, (u & 0x7c00u) == 0u);
}
