// Halves of chunks (16 k) in f16, as the tiles of many tokens multiply them: see linear/matmul_tile_f16.
enable f16;

/// Quads of a chunk, and of half of it.
const QUADS: u32 = 8u;
const HALF: u32 = 4u;
alias Half = array<vec4<f16>, 4>;

fn largest16(x: array<vec4<f32>, 4>) -> f32 {
  let a = max(max(abs(x[0]), abs(x[1])), max(abs(x[2]), abs(x[3])));
  return max(max(a.x, a.y), max(a.z, a.w));
}

/// Below 2^-100 a half counts as 0: the reciprocal of less may not be finite.
fn scale_to_one(largest: f32) -> f32 {
  return select(0.0, 1.0 / largest, largest > 0x1p-100f);
}

fn dot16(x: Half, w: Half) -> f32 {
  let s = x[0] * w[0] + x[1] * w[1] + x[2] * w[2] + x[3] * w[3];
  let t = s.xy + s.zw;
  return f32(t.x) + f32(t.y);
}

fn dots16(x: Half, a: Half, b: Half, c: Half, d: Half) -> vec4<f32> {
  return vec4<f32>(dot16(x, a), dot16(x, b), dot16(x, c), dot16(x, d));
}
