// ROWS rows of W against one row of x, by one workgroup of 64: LANES lanes share a row, a chunk of 32 each at a time, and every lane holds its
// part of x for ROWS_PER_LANE rows. After `matvec_partials`, `row_product` adds up the lanes' shares in lane order: one barrier in all.
// With GAMMA, x is RMS-normed on the way: the sum of squares is gathered beside the products and divides them at the end.
#import weight_format
#import products
#import shared/dot32
#import linear/x_rows
#if SUBGROUPS
#import shared/team_sum
#else
/// A lane's share goes through workgroup memory.
const subgroup: u32 = 1u;
#endif
#if GAMMA
#import linear/gamma
override EPS: f32;
#endif
override N: u32;
override LANES: u32;
override ROWS_PER_LANE: u32;

@group(0) @binding(1) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> scales: array<u32>;

fn scale_word(at: u32) -> u32 { return scales[at]; }

const WG: u32 = 64u;
const ROWS: u32 = WG / LANES * ROWS_PER_LANE;
const TRIPS: u32 = (W_CHUNKS + LANES - 1u) / LANES;
var<workgroup> partial: array<f32, WG * ROWS_PER_LANE>;
#if GAMMA
var<workgroup> squares: array<f32, WG>;
#endif

/// Each lane's share of rows first_row.. for x row t; ends with a barrier. Rows beyond N repeat the last one.
fn matvec_partials(t: u32, first_row: u32, lane: u32) {
  let team = lane / LANES;
  let member = lane % LANES;
  var sums: array<f32, ROWS_PER_LANE>;
#if GAMMA
  var square = 0.0;
#endif
  for (var trip = 0u; trip < TRIPS; trip++) {
    let chunk = trip * LANES + member;
    if (chunk < W_CHUNKS) {
      var part = x_chunk(t, chunk);
#if GAMMA
      square += dot32(part, part);
      for (var i = 0u; i < 8u; i++) { part[i] *= gamma_quad(chunk * 8u + i); }
#endif
      let inputs = chunk_inputs(part);
      for (var r = 0u; r < ROWS_PER_LANE; r++) {
        let row = min(first_row + team * ROWS_PER_LANE + r, N - 1u);
        sums[r] += chunk_product(0u, row, chunk, inputs);
      }
    }
  }
#if SUBGROUPS
  for (var r = 0u; r < ROWS_PER_LANE; r++) { sums[r] = team_sum(sums[r], LANES); }
#endif
  for (var r = 0u; r < ROWS_PER_LANE; r++) {
    partial[(team * ROWS_PER_LANE + r) * LANES + member] = sums[r];
  }
#if GAMMA
#if SUBGROUPS
  square = team_sum(square, LANES);
#endif
  squares[lane] = square;
#endif
  workgroupBarrier();
}

/// The finished product of row first_row + `row`, row < ROWS.
fn row_product(row: u32) -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < LANES; i++) {
    if (i * subgroup >= LANES) { break; }
    sum += partial[row * LANES + i * subgroup];
  }
#if GAMMA
  var square = 0.0;
  for (var i = 0u; i < LANES; i++) {
    if (i * subgroup >= LANES) { break; }
    square += squares[i * subgroup];
  }
  sum *= inverseSqrt(square / f32(K) + EPS);
#endif
  return sum;
}
