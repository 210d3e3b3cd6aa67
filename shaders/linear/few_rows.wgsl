// ROWS rows of W against up to COLUMNS rows of x, by one workgroup of 64: a row of W is read and unpacked once for all of them. Lanes share rows and
// chunks as in linear/matvec_rows, and each column is summed in the same order: a token gets the same bits as alone. After `few_partials`,
// `few_product` adds up the lanes' shares in lane order. With GAMMA, x is RMS-normed on the way.
#import shared/step
#import weight_format
#import products
#import shared/dot32
#import linear/x_rows
#if SUBGROUPS
#import shared/team_sum
#else
const subgroup: u32 = 1u;
#endif
#if GAMMA
#import linear/gamma
override EPS: f32;
#endif
override N: u32;
override LANES: u32;
override ROWS_PER_LANE: u32;
override COLUMNS: u32;

@group(0) @binding(1) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> scales: array<u32>;

fn scale_word(at: u32) -> u32 { return scales[at]; }

const WG: u32 = 64u;
const ROWS: u32 = WG / LANES * ROWS_PER_LANE;
const TRIPS: u32 = (W_CHUNKS + LANES - 1u) / LANES;
var<workgroup> partial: array<f32, COLUMNS * WG * ROWS_PER_LANE>; // [column][row][lane of the row]
#if GAMMA
var<workgroup> squares: array<f32, COLUMNS * WG>;
#endif

/// Each lane's share of rows first_row.. for tokens first_token..; ends with a barrier. Rows beyond N repeat the last one.
fn few_partials(first_token: u32, first_row: u32, lane: u32) {
  let team = lane / LANES;
  let member = lane % LANES;
  var sums: array<f32, COLUMNS * ROWS_PER_LANE>;
#if GAMMA
  var square: array<f32, COLUMNS>;
#endif
  for (var trip = 0u; trip < TRIPS; trip++) {
    let chunk = trip * LANES + member;
    if (chunk < W_CHUNKS) {
      var weights: array<ChunkWeights, ROWS_PER_LANE>;
      for (var r = 0u; r < ROWS_PER_LANE; r++) {
        weights[r] = chunk_weights(0u, min(first_row + team * ROWS_PER_LANE + r, N - 1u), chunk);
      }
      for (var c = 0u; c < COLUMNS; c++) {
        if (first_token + c < u_step.tokens) {
          var part = x_chunk(first_token + c, chunk);
#if GAMMA
          square[c] += dot32(part, part);
          for (var i = 0u; i < 8u; i++) { part[i] *= gamma_quad(chunk * 8u + i); }
#endif
          let inputs = chunk_inputs(part);
          for (var r = 0u; r < ROWS_PER_LANE; r++) { sums[c * ROWS_PER_LANE + r] += inner(weights[r], inputs); }
        }
      }
    }
  }
#if SUBGROUPS
  for (var i = 0u; i < COLUMNS * ROWS_PER_LANE; i++) { sums[i] = team_sum(sums[i], LANES); }
#if GAMMA
  for (var c = 0u; c < COLUMNS; c++) { square[c] = team_sum(square[c], LANES); }
#endif
#endif
  for (var c = 0u; c < COLUMNS; c++) {
    for (var r = 0u; r < ROWS_PER_LANE; r++) {
      partial[(c * ROWS + team * ROWS_PER_LANE + r) * LANES + member] = sums[c * ROWS_PER_LANE + r];
    }
#if GAMMA
    squares[c * WG + lane] = square[c];
#endif
  }
  workgroupBarrier();
}

/// The finished product of row first_row + `row`, row < ROWS, and token first_token + `column`.
fn few_product(column: u32, row: u32) -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < LANES; i++) {
    if (i * subgroup >= LANES) { break; }
    sum += partial[(column * ROWS + row) * LANES + i * subgroup];
  }
#if GAMMA
  var square = 0.0;
  for (var i = 0u; i < LANES; i++) {
    if (i * subgroup >= LANES) { break; }
    square += squares[column * WG + i * subgroup];
  }
  sum *= inverseSqrt(square / f32(K) + EPS);
#endif
  return sum;
}
