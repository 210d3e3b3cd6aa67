// How ROWS rows of W meet COLUMNS rows of x in one workgroup of 64: LANES lanes share a row of W, a chunk of 32 each at a time, and every lane does so
// for ROWS_PER_LANE rows. After `keep_shares`, `row_product` adds up the lanes' shares in lane order: one barrier in all. With GAMMA, x is RMS-normed on
// the way: the sum of squares is gathered beside the products and divides them at the end. The importer declares COLUMNS.
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
var<workgroup> partial: array<f32, COLUMNS * WG * ROWS_PER_LANE>; // [column][row][lane of the row]
#if GAMMA
var<workgroup> squares: array<f32, COLUMNS * WG>;
#endif

/// What a lane has of its rows and of the norms of x; ends with a barrier.
fn keep_shares(
  lane: u32,
  sums: ptr<function, array<f32, COLUMNS * ROWS_PER_LANE>>,
#if GAMMA
  square: ptr<function, array<f32, COLUMNS>>,
#endif
) {
#if SUBGROUPS
  for (var i = 0u; i < COLUMNS * ROWS_PER_LANE; i++) { (*sums)[i] = team_sum((*sums)[i], LANES); }
#if GAMMA
  for (var c = 0u; c < COLUMNS; c++) { (*square)[c] = team_sum((*square)[c], LANES); }
#endif
#endif
  for (var c = 0u; c < COLUMNS; c++) {
    for (var r = 0u; r < ROWS_PER_LANE; r++) {
      partial[(c * ROWS + lane / LANES * ROWS_PER_LANE + r) * LANES + lane % LANES] = (*sums)[c * ROWS_PER_LANE + r];
    }
#if GAMMA
    squares[c * WG + lane] = (*square)[c];
#endif
  }
  workgroupBarrier();
}

/// The finished product of the workgroup's row `row` < ROWS of W and row `column` of x.
fn row_product(column: u32, row: u32) -> f32 {
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
