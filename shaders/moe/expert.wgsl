// What every expert kernel reads: rows x of K values, an arena of slots (src/moe/slots.ts) with one matrix of each slot in view, the slot table.
#import weight_format
#import linear/x_rows
override SLOT_VEC4: u32; // from one slot to the next, in 16 bytes
override MATRIX_AT: u32; // the matrix in its slot, in 16 bytes
#if BIAS
override BIAS_AT: u32; // in words from the slot's start
#endif

@group(0) @binding(1) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> scales: array<u32>;
@group(0) @binding(3) var<storage, read> slot_table: array<u32>;

fn scale_word(at: u32) -> u32 { return scales[at]; }

const WG: u32 = 64u;
/// The expert is not on the GPU: a token by itself takes zero for it, a tile is left for another wave.
const MISSING: u32 = 0xffffffffu;

fn slot_matrix(slot: u32) -> u32 {
  return slot * SLOT_VEC4 + MATRIX_AT;
}

/// Zero without biases, and for a missing slot.
fn slot_bias(slot: u32, row: u32) -> f32 {
#if BIAS
  if (slot == MISSING) { return 0.0; }
  return bitcast<f32>(scales[slot * (SLOT_VEC4 * 4u) + BIAS_AT + row]);
#else
  return 0.0;
#endif
}
