// A chunk of inputs in f16, as the tiles of many tokens hold it: see linear/matmul_tile_f16.
enable f16;

/// Quads of a chunk, and of half of it.
const QUADS: u32 = 8u;
const HALF: u32 = 4u;

fn largest16(x: array<vec4<f32>, 4>) -> f32 {
  let a = max(max(abs(x[0]), abs(x[1])), max(abs(x[2]), abs(x[3])));
  return max(max(a.x, a.y), max(a.z, a.w));
}

/// Below 2^-100 a half counts as 0: the reciprocal of less may not be finite.
fn scale_to_one(largest: f32) -> f32 {
  return select(0.0, 1.0 / largest, largest > 0x1p-100f);
}
