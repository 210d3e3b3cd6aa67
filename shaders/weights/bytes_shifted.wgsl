// The bytes and nibbles of a word as floats, for GPUs: taking one byte and converting it is one instruction there, where masks need one each.

fn byte_quad(u: u32, zero: f32) -> vec4<f32> {
  return vec4<f32>((vec4<u32>(u) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(0xffu)) - vec4<f32>(zero);
}

fn low_quad(u: u32, zero: f32) -> vec4<f32> {
  return byte_quad(u & 0x0f0f0f0fu, zero);
}

fn high_quad(u: u32, zero: f32) -> vec4<f32> {
  return byte_quad((u >> 4u) & 0x0f0f0f0fu, zero);
}

/// What small_quad takes for a factor.
fn small_factor(factor: f32) -> vec4<f32> {
  return vec4<f32>(factor);
}

/// factor * byte - zero, of bytes below 128.
fn small_quad(u: u32, factor: vec4<f32>, zero: f32) -> vec4<f32> {
  return byte_quad(u, 0.0) * factor - vec4<f32>(zero);
}
