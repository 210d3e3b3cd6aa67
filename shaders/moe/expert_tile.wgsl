// Products of up to BM rows of x (16, or 32 with TALL) with COLUMNS neighbouring rows of an expert's matrix, by one workgroup of 64 lanes, chunk
// by chunk through workgroup memory (8 + BM / 8 KiB).
// A lane ends up with BM / 4 rows, tile_row(lane, i), and four places, tile_place(lane, j). Place p is the matrix's row first + p or,
// with INTERLEAVED, row first + 2 p for p < 32 (gates) and first + 2 (p - 32) + 1 beyond (ups).
#import moe/expert
override BM: u32;
override N: u32;

const COLUMNS: u32 = 64u;
const LANE_ROWS: u32 = BM / 4u;
/// Rows of x that a lane loads from: it loads quad lane % 8 of rows lane / 8, lane / 8 + 8, ...
const LANE_LOADS: u32 = BM / 8u;

var<workgroup> w_tile: array<vec4<f32>, 8u * COLUMNS>;
var<workgroup> x_tile: array<vec4<f32>, 8u * BM>;

fn tile_row(lane: u32, i: u32) -> u32 {
  return lane / 16u + 4u * i;
}

fn tile_place(lane: u32, j: u32) -> u32 {
  return lane % 16u + 16u * j;
}

fn load_row(lane: u32, i: u32) -> u32 {
  return lane / 8u + 8u * i;
}

fn store_w(w: array<vec4<f32>, 8>, place: u32) {
  w_tile[place] = w[0];
  w_tile[COLUMNS + place] = w[1];
  w_tile[2u * COLUMNS + place] = w[2];
  w_tile[3u * COLUMNS + place] = w[3];
  w_tile[4u * COLUMNS + place] = w[4];
  w_tile[5u * COLUMNS + place] = w[5];
  w_tile[6u * COLUMNS + place] = w[6];
  w_tile[7u * COLUMNS + place] = w[7];
}

/// `x_rows[i]` is the row of x that stands at the tile's row load_row(lane, i). Matrix rows beyond N repeat the last one.
fn tile_products(slot: u32, first: u32, x_rows: array<u32, LANE_LOADS>, lane: u32) -> array<vec4<f32>, LANE_ROWS> {
  let matrix = slot_matrix(slot);
  let row = min(first + lane, N - 1u);
#if INTERLEAVED
  let place = lane / 2u + 32u * (lane % 2u);
#else
  let place = lane;
#endif
  let quad = lane % 8u;
  let to_x = quad * BM + lane / 8u;
  // Named sums instead of an array: they stay in registers without relying on the driver to unroll.
  var s0 = vec4<f32>();
  var s1 = vec4<f32>();
  var s2 = vec4<f32>();
  var s3 = vec4<f32>();
#if TALL
  var s4 = vec4<f32>();
  var s5 = vec4<f32>();
  var s6 = vec4<f32>();
  var s7 = vec4<f32>();
#endif
  for (var chunk = 0u; chunk < W_CHUNKS; chunk++) {
    store_w(weight32(matrix, row, chunk), place);
    x_tile[to_x] = x_quad(x_rows[0], chunk * 8u + quad);
    x_tile[to_x + 8u] = x_quad(x_rows[1], chunk * 8u + quad);
#if TALL
    x_tile[to_x + 16u] = x_quad(x_rows[2], chunk * 8u + quad);
    x_tile[to_x + 24u] = x_quad(x_rows[3], chunk * 8u + quad);
#endif
    workgroupBarrier();
    for (var q = 0u; q < 8u; q++) {
      let at_w = q * COLUMNS + lane % 16u;
      let w = array<vec4<f32>, 4>(w_tile[at_w], w_tile[at_w + 16u], w_tile[at_w + 32u], w_tile[at_w + 48u]);
      let at_x = q * BM + lane / 16u;
      s0 += dots(x_tile[at_x], w);
      s1 += dots(x_tile[at_x + 4u], w);
      s2 += dots(x_tile[at_x + 8u], w);
      s3 += dots(x_tile[at_x + 12u], w);
#if TALL
      s4 += dots(x_tile[at_x + 16u], w);
      s5 += dots(x_tile[at_x + 20u], w);
      s6 += dots(x_tile[at_x + 24u], w);
      s7 += dots(x_tile[at_x + 28u], w);
#endif
    }
    workgroupBarrier();
  }
#if TALL
  return array<vec4<f32>, LANE_ROWS>(s0, s1, s2, s3, s4, s5, s6, s7);
#else
  return array<vec4<f32>, LANE_ROWS>(s0, s1, s2, s3);
#endif
}

fn dots(x: vec4<f32>, w: array<vec4<f32>, 4>) -> vec4<f32> {
  return vec4<f32>(dot(x, w[0]), dot(x, w[1]), dot(x, w[2]), dot(x, w[3]));
}
