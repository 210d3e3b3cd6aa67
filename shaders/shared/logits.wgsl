// The logits [V], or with ROWS a row of [T, V], as they are compared: what is no number, and what is too large, has a finite place in the order. The
// importer has V.
@group(0) @binding(0) var<storage, read> logits: array<u32>; // f32 bits

const MASKED: f32 = -1e30;

#if ROWS
// Of logits [T, V], the row that counts.
var<private> logits_row: u32;
fn logit_bits(id: u32) -> u32 { return logits[logits_row * V + id]; }
#else
fn logit_bits(id: u32) -> u32 { return logits[id]; }
#endif

// Looks at bits, because shaders may be compiled as if NaN and infinity did not exist.
fn is_broken(bits: u32) -> bool { return (bits & 0x7fffffffu) > 0x7f800000u || bits == 0x7f800000u; }

fn logit(id: u32) -> f32 {
  let bits = logit_bits(id);
  if (bits == 0x7f800000u) { return -MASKED; }
  if ((bits & 0x7f800000u) == 0x7f800000u) { return MASKED; }
  return clamp(bitcast<f32>(bits), MASKED, -MASKED);
}

// Smaller keys for larger values; both zeros have the same.
fn key_of(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  if (bits == 0x80000000u) { return 0x7fffffffu; }
  return select(bits ^ 0x7fffffffu, bits, (bits >> 31u) == 1u);
}

fn value_of(key: u32) -> f32 {
  return bitcast<f32>(select(key ^ 0x7fffffffu, key, (key >> 31u) == 1u));
}
