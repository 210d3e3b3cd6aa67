// Rotary position embedding: which two values of a head turn together, and their turn. The table is [positions, 2, PAIRS]: cos, then sin.
override PAIRS: u32;

#if INTERLEAVED
fn pair_of(d: u32) -> u32 { return d / 2u; }
fn low_of(pair: u32) -> u32 { return 2u * pair; }
fn high_of(pair: u32) -> u32 { return 2u * pair + 1u; }
#else
fn pair_of(d: u32) -> u32 { return d % PAIRS; }
fn low_of(pair: u32) -> u32 { return pair; }
fn high_of(pair: u32) -> u32 { return pair + PAIRS; }
#endif

// Value d of a head after the turn, from the two values of its pair.
fn turned(d: u32, low: f32, high: f32, cosine: f32, sine: f32) -> f32 {
  return select(high * cosine + low * sine, low * cosine - high * sine, d == low_of(pair_of(d)));
}
