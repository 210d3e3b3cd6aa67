// Four 4-bit floats of a word: nibbles at bits 0, 8, 16, 24, or 4 further up. `half` is half of what 1.0 stands for.
/// Twice the magnitudes 0, .5, 1, 1.5, 2, 3, 4, 6 are the digits of a hexadecimal number; bit 3 of a nibble is the sign.
fn e2m1_quad(u: u32, shift: u32, half: f32) -> vec4<f32> {
  let n = vec4<u32>(u) >> (vec4<u32>(0u, 8u, 16u, 24u) + vec4<u32>(shift));
  let doubled = (vec4<u32>(0xc8643210u) >> ((n & vec4<u32>(7u)) * 4u)) & vec4<u32>(15u);
  let magnitude = vec4<f32>(doubled) * half;
  return select(magnitude, -magnitude, (n & vec4<u32>(8u)) != vec4<u32>(0u));
}
