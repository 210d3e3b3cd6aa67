// Rows of a cache of keys or values in f16, two a word, even d in the low half: see kv/f32. Rows have a multiple of four values.
override ROW: u32; // words of a row
alias Cell = u32;

fn unit(row: u32, u: u32) -> vec4<f32> {
  let at = row * ROW + 2u * u;
  return vec4<f32>(unpack2x16float(cache[at]), unpack2x16float(cache[at + 1u]));
}

fn value(row: u32, d: u32) -> f32 {
  let pair = unpack2x16float(cache[row * ROW + d / 2u]);
  return select(pair.x, pair.y, (d & 1u) == 1u);
}

#if WRITES
/// The largest f16: what lies beyond becomes it, because WGSL leaves open what a larger one is packed to.
const LARGEST: f32 = 65504.0;

fn words(x: vec4<f32>) -> vec2<u32> {
  let c = clamp(x, vec4<f32>(-LARGEST), vec4<f32>(LARGEST));
  return vec2<u32>(pack2x16float(c.xy), pack2x16float(c.zw));
}

/// As `unit` will read it.
fn kept(x: vec4<f32>, most: f32) -> vec4<f32> {
  let w = words(x);
  return vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y));
}

fn put(row: u32, u: u32, x: vec4<f32>, most: f32) {
  let at = row * ROW + 2u * u;
  let w = words(x);
  cache[at] = w.x;
  cache[at + 1u] = w.y;
}
#endif
