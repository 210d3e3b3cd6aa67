// Products of up to BM rows of x (16, with TALL 32, with TALLEST too 64) with COLUMNS neighbouring rows of an expert's matrix, by one workgroup of 64 lanes, half a
// chunk (16 k; with F16 a whole one) at a time through workgroup memory (4 + BM / 16 KiB: small, so that many workgroups run at once).
// A lane ends up with BM / 4 rows, tile_row(lane, i), and four places, tile_place(lane, j). Place p is the matrix's row first + p or,
// with INTERLEAVED, row first + 2 p for p < 32 (gates) and first + 2 (p - 32) + 1 beyond (ups).
#import moe/expert
#import moe/tile_products
override BM: u32;

const COLUMNS: u32 = 64u;
const LANE_ROWS: u32 = BM / 4u;
#if F16
const TILE_X: u32 = BM;
#if MATRICES
#import linear/parts_matrices
#else
#import linear/parts_halves
#endif
/// Rows of x that a lane loads from: half lane % 2 of a chunk of rows lane / 2, lane / 2 + 32. With 16 rows the lanes beyond have none.
const LANE_LOADS: u32 = (BM + 31u) / 32u;
fn load_row(lane: u32, i: u32) -> u32 {
  return lane / 2u + 32u * i;
}

var<workgroup> w_scale: array<f32, COLUMNS>;
var<workgroup> x_scale: array<array<f32, BM>, 2>;
#else
/// Quads of half a chunk.
const QUADS: u32 = 4u;
/// Rows of x that a lane loads from: quad lane % 4 of rows lane / 4, lane / 4 + 16, ...
const LANE_LOADS: u32 = BM / 16u;
fn load_row(lane: u32, i: u32) -> u32 {
  return lane / QUADS + 16u * i;
}

var<workgroup> w_tile: array<vec4<f32>, QUADS * COLUMNS>;
var<workgroup> x_tile: array<vec4<f32>, QUADS * BM>;
#endif

fn tile_row(lane: u32, i: u32) -> u32 {
  return lane / 16u + 4u * i;
}

fn tile_place(lane: u32, j: u32) -> u32 {
  return lane % 16u + 16u * j;
}
