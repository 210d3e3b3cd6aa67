// repack/quantize: rows of a float matrix become rows of an integer layout with groups of 32: target row first_row + i * row_stride from source
//   row i. In a group, w = scale * q, q signed and stored plus 2^(bits-1); a scale of zero makes the group zero.
//   8 bits: scale = max |w| / 127.
//   4 bits: of CANDIDATES divisions of the range, the one whose least-squares scale leaves the smallest error: with m the weight of largest
//   magnitude, l = round(-f w / m) for f around 8, scale = sum w l / sum l^2, error = sum w^2 - (sum w l)^2 / sum l^2.
//   The scale is rounded to 16 bits, and q = round(w / scale) with that one.
// in   source [rows,COLS] bf16, f16 or f32, packed without padding between rows   params
// out  matrix: the values and scales of those rows, in the layout of src/weights/layout.ts
// grid [rows * chunk pairs / 64 folded], workgroup 64; a lane makes two groups, whose scales share a word
// num  f32; q is exact for the stored scale: ties away from the rounding of a division are settled by comparing products
// cost reads rows * COLS, about 50 operations a weight at 4 bits
// twin src/reference/repack/quantize.ts   entry src/kernels/repack/quantize.ts
#import shared/fold
#import shared/f16
override COLS: u32;
override W_CHUNKS: u32;
override W_SCALES_AT: u32;
override W_SCALE_ROW: u32;

struct Params {
  rows: u32,
  first_row: u32,
  row_stride: u32,
  matrix_at: u32, // word of the binding where the matrix starts
}
@group(0) @binding(0) var<storage, read> source: array<u32>;
@group(0) @binding(1) var<storage, read> params: Params;
@group(0) @binding(2) var<storage, read_write> matrix: array<u32>;

const WG: u32 = 64u;
const PAIRS: u32 = (W_CHUNKS + 1u) / 2u;
/// A group whose largest weight is smaller than this becomes zero, so that nothing here is subnormal.
const SMALLEST: f32 = 0x1p-120f;
#if FOUR_BITS
const CHUNK_WORDS: u32 = 4u;
const Q_MIN: f32 = -8.0;
const Q_MAX: f32 = 7.0;
/// Seven divisions leave 8.09 % RMS error on normal weights, nineteen 8.08 %, plain rounding 8.58 %. Weighting by w^2 gives 8.40 %.
const CANDIDATES: u32 = 7u;
const FIRST_FACTOR: f32 = 7.11;
const FACTOR_STEP: f32 = 0.29;
#else
const CHUNK_WORDS: u32 = 8u;
const Q_MIN: f32 = -128.0;
const Q_MAX: f32 = 127.0;
#endif

fn element(e: u32) -> f32 {
#if FROM_F32
  return bitcast<f32>(source[e]);
#endif
#if FROM_F16
  let pair = f16_pair(source[e / 2u]);
  return select(pair.x, pair.y, e % 2u == 1u);
#endif
#if FROM_BF16
  let word = source[e / 2u];
  return bitcast<f32>(select(word << 16u, word & 0xffff0000u, e % 2u == 1u));
#endif
}

#if SCALE_F16
/// Nearest f16, ties to even; beyond the range, the largest.
fn scale_bits(value: f32) -> u32 {
  let b = bitcast<u32>(value);
  let sign = (b >> 16u) & 0x8000u;
  let magnitude = b & 0x7fffffffu;
  let subnormal = bitcast<u32>(abs(value) + 0.5) - 0x3f000000u; // the sum rounds to multiples of 2^-24
  let normal = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13u) & 1u)) >> 13u;
  return sign | min(select(normal, subnormal, magnitude < 0x38800000u), 0x7bffu);
}

fn scale_value(bits: u32) -> f32 {
  return f16_pair(bits).x;
}
#else
/// Nearest bf16, ties to even.
fn scale_bits(value: f32) -> u32 {
  let b = bitcast<u32>(value);
  return (b + 0x7fffu + ((b >> 16u) & 1u)) >> 16u;
}

fn scale_value(bits: u32) -> f32 {
  return bitcast<f32>(bits << 16u);
}
#endif

/// Of the weights, `largest` has the largest magnitude.
fn best_scale(w: array<f32, 32>, largest: f32) -> f32 {
  if (abs(largest) < SMALLEST) { return 0.0; }
#if FOUR_BITS
  var shares: array<f32, 32>;
  for (var i = 0u; i < 32u; i++) { shares[i] = w[i] / largest; }
  var best = -1.0;
  var scale = 0.0;
  for (var c = 0u; c < CANDIDATES; c++) {
    let factor = FIRST_FACTOR + FACTOR_STEP * f32(c);
    var products = 0.0;
    var squares = 0.0;
    for (var i = 0u; i < 32u; i++) {
      let l = clamp(floor(0.5 - factor * shares[i]), Q_MIN, Q_MAX);
      products += shares[i] * l;
      squares += l * l;
    }
    let score = products * products / squares;
    if (score > best) {
      best = score;
      scale = products / squares;
    }
  }
  return scale * largest;
#else
  return abs(largest) / 127.0;
#endif
}

/// round(w / scale), half up in the direction of the scale's sign.
fn quantised(w: f32, scale: f32) -> f32 {
  let y = select(w, -w, scale < 0.0);
  let s = abs(scale);
  let q = clamp(floor(y / s + 0.5), Q_MIN - 1.0, Q_MAX + 1.0);
  // (q ± 0.5) * s is exact: a 16-bit float times a few bits.
  let more = select(0.0, 1.0, y >= (q + 0.5) * s);
  let less = select(0.0, 1.0, y < (q - 0.5) * s);
  return clamp(q + more - less, Q_MIN, Q_MAX);
}

/// Writes the codes of one group; returns its scale's 16 bits.
fn quantise_chunk(source_row: u32, row: u32, chunk: u32) -> u32 {
  var w: array<f32, 32>;
  var largest = 0.0;
  for (var i = 0u; i < 32u; i++) {
    let k = chunk * 32u + i;
    if (k < COLS) { w[i] = element(source_row * COLS + k); }
    if (abs(w[i]) > abs(largest)) { largest = w[i]; }
  }
  let bits = scale_bits(best_scale(w, largest));
  let scale = scale_value(bits);
  var words: array<u32, CHUNK_WORDS>;
  for (var i = 0u; i < 32u; i++) {
    var q = 0.0;
    if (scale != 0.0) { q = quantised(w[i], scale); }
    let code = u32(q - Q_MIN);
#if FOUR_BITS
    words[i / 8u] |= code << (i % 4u * 8u + i / 4u % 2u * 4u);
#else
    words[i / 4u] |= code << (i % 4u * 8u);
#endif
  }
  let to = params.matrix_at + (row * W_CHUNKS + chunk) * CHUNK_WORDS;
  for (var i = 0u; i < CHUNK_WORDS; i++) { matrix[to + i] = words[i]; }
  return bits;
}

@compute @workgroup_size(WG)
fn quantize(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let work = folded(workgroup, workgroups) * WG + lane;
  let source_row = work / PAIRS;
  if (source_row >= params.rows) { return; }
  let pair = work % PAIRS;
  let row = params.first_row + source_row * params.row_stride;
  var scales = quantise_chunk(source_row, row, 2u * pair);
  if (2u * pair + 1u < W_CHUNKS) { scales |= quantise_chunk(source_row, row, 2u * pair + 1u) << 16u; }
  matrix[params.matrix_at + W_SCALES_AT + row * W_SCALE_ROW + pair] = scales;
}
