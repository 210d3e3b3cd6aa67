// Rows of a cache of keys or values in f32. It is imported as k_ and as v_; the importer declares k_cache: array<k_Cell>, or v_cache.
override ROW: u32; // words of a row

#if VEC4
alias Cell = vec4<f32>;

fn unit(row: u32, u: u32) -> vec4<f32> {
  return cache[row * (ROW / 4u) + u];
}

fn value(row: u32, d: u32) -> f32 {
  return cache[row * (ROW / 4u) + d / 4u][d % 4u];
}

#if WRITES
fn put(row: u32, u: u32, x: vec4<f32>, most: f32) {
  cache[row * (ROW / 4u) + u] = x;
}
#endif
#else
alias Cell = f32;

fn unit(row: u32, u: u32) -> f32 {
  return cache[row * ROW + u];
}

fn value(row: u32, d: u32) -> f32 {
  return cache[row * ROW + d];
}

#if WRITES
fn put(row: u32, d: u32, x: f32, most: f32) {
  cache[row * ROW + d] = x;
}
#endif
#endif
