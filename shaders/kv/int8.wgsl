// Rows of a cache of keys or values in int8: a word with the row's scale (f32), then four values a word, d ascending from the low byte; see kv/f32.
// value = scale * q, scale = most / 127, where `most` is the largest magnitude of the row. Rows have a multiple of four values.
override ROW: u32; // words of a row
alias Cell = u32;

fn scale_of(row: u32) -> f32 {
  return bitcast<f32>(cache[row * ROW]);
}

fn signed_bytes(word: u32) -> vec4<f32> {
  return vec4<f32>((vec4<i32>(bitcast<i32>(word)) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u));
}

fn unit(row: u32, u: u32) -> vec4<f32> {
  return scale_of(row) * signed_bytes(cache[row * ROW + 1u + u]);
}

fn value(row: u32, d: u32) -> f32 {
  return scale_of(row) * f32(extractBits(bitcast<i32>(cache[row * ROW + 1u + d / 4u]), 8u * (d % 4u), 8u));
}

#if WRITES
fn bytes(x: vec4<f32>, most: f32) -> u32 {
  // A row of zeros stays one.
  return pack4x8snorm(x / max(most, 0x1p-100f));
}

/// As `unit` will read it.
fn kept(x: vec4<f32>, most: f32) -> vec4<f32> {
  return most / 127.0 * signed_bytes(bytes(x, most));
}

fn put(row: u32, u: u32, x: vec4<f32>, most: f32) {
  if (u == 0u) { cache[row * ROW] = bitcast<u32>(most / 127.0); }
  cache[row * ROW + 1u + u] = bytes(x, most);
}
#endif
