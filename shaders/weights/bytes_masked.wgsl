// The bytes and nibbles of a word as floats, for software adapters: f32(b << n) * 2^-n is exact, and needs no shift (which they do lane by lane).

fn low_quad(u: u32, zero: f32) -> vec4<f32> {
  let bits = vec4<u32>(u) & vec4<u32>(0xfu, 0xf00u, 0xf0000u, 0xf000000u);
  return vec4<f32>(bitcast<vec4<i32>>(bits)) * vec4<f32>(1.0, 0x1p-8, 0x1p-16, 0x1p-24) - vec4<f32>(zero);
}

/// The top nibble is converted as signed, so it comes 8 lower than it is.
fn high_quad(u: u32, zero: f32) -> vec4<f32> {
  let bits = vec4<u32>(u ^ 0x80000000u) & vec4<u32>(0xf0u, 0xf000u, 0xf00000u, 0xf0000000u);
  return vec4<f32>(bitcast<vec4<i32>>(bits)) * vec4<f32>(0x1p-4, 0x1p-12, 0x1p-20, 0x1p-28) -
    vec4<f32>(zero, zero, zero, zero - 8.0);
}

/// The same of the top byte, and 128.
fn byte_quad(u: u32, zero: f32) -> vec4<f32> {
  let bits = vec4<u32>(u ^ 0x80000000u) & vec4<u32>(0xffu, 0xff00u, 0xff0000u, 0xff000000u);
  return vec4<f32>(bitcast<vec4<i32>>(bits)) * vec4<f32>(1.0, 0x1p-8, 0x1p-16, 0x1p-24) -
    vec4<f32>(zero, zero, zero, zero - 128.0);
}

/// What small_quad takes for a factor.
fn small_factor(factor: f32) -> vec4<f32> {
  return factor * vec4<f32>(1.0, 0x1p-8, 0x1p-16, 0x1p-24);
}

/// factor * byte - zero, of bytes below 128.
fn small_quad(u: u32, factor: vec4<f32>, zero: f32) -> vec4<f32> {
  let bits = vec4<u32>(u) & vec4<u32>(0xffu, 0xff00u, 0xff0000u, 0xff000000u);
  return vec4<f32>(bitcast<vec4<i32>>(bits)) * factor - vec4<f32>(zero);
}
