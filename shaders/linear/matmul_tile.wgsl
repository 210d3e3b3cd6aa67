// A tile of x W^T by one workgroup of 64: 32 tokens x 64 rows of W, one chunk of 32 k at a time through workgroup memory. A lane owns 4 tokens
// and 4 pairs of neighbouring rows: it multiplies 4 x 8 values for 12 loads of four.
#import shared/step
#import weight_format
#import linear/x_rows
override N: u32;

@group(0) @binding(1) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> scales: array<u32>;

const WG: u32 = 64u;
const TILE_TOKENS: u32 = 32u;
const TILE_ROWS: u32 = 64u;
/// Quads of a chunk, plus one so that eight neighbouring rows fall on different banks.
const STRIDE: u32 = 9u;
var<workgroup> x_tile: array<vec4<f32>, TILE_TOKENS * STRIDE>;
/// Row 2p is at place p, row 2p + 1 at place 32 + p, so that lanes reading their even rows read neighbours.
var<workgroup> w_tile: array<vec4<f32>, TILE_ROWS * STRIDE>;

/// A lane's products: for each of its tokens, its four even rows and its four odd rows.
struct TileProducts {
  even: array<vec4<f32>, 4>,
  odd: array<vec4<f32>, 4>,
}

fn tile_token(lane: u32, i: u32) -> u32 {
  return lane / 8u + i * 8u;
}
/// Pair p is rows 2p and 2p + 1 of the tile.
fn tile_pair(lane: u32, i: u32) -> u32 {
  return lane % 8u + i * 8u;
}

fn load_tile(first_token: u32, first_row: u32, chunk: u32, lane: u32) {
  for (var i = 0u; i < TILE_TOKENS * 8u / WG; i++) {
    let token = i * 8u + lane / 8u;
    let quad = lane % 8u;
    var v = vec4<f32>();
    if (first_token + token < u_step.tokens) { v = x_quad(first_token + token, chunk * 8u + quad); }
    x_tile[token * STRIDE + quad] = v;
  }
  let w = weight32(0u, min(first_row + lane, N - 1u), chunk);
  let to = (lane % 2u * 32u + lane / 2u) * STRIDE;
  w_tile[to] = w[0];
  w_tile[to + 1u] = w[1];
  w_tile[to + 2u] = w[2];
  w_tile[to + 3u] = w[3];
  w_tile[to + 4u] = w[4];
  w_tile[to + 5u] = w[5];
  w_tile[to + 6u] = w[6];
  w_tile[to + 7u] = w[7];
}

fn dots(x: vec4<f32>, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> vec4<f32> {
  return vec4<f32>(dot(x, a), dot(x, b), dot(x, c), dot(x, d));
}

/// Tokens beyond T count as zero, rows beyond N repeat the last one: the caller stores neither.
fn tile_products(first_token: u32, first_row: u32, lane: u32) -> TileProducts {
  // Eight named sums instead of arrays: they stay in registers without relying on the driver to unroll.
  var even0 = vec4<f32>();
  var even1 = vec4<f32>();
  var even2 = vec4<f32>();
  var even3 = vec4<f32>();
  var odd0 = vec4<f32>();
  var odd1 = vec4<f32>();
  var odd2 = vec4<f32>();
  var odd3 = vec4<f32>();
  for (var chunk = 0u; chunk < W_CHUNKS; chunk++) {
    load_tile(first_token, first_row, chunk, lane);
    workgroupBarrier();
    for (var quad = 0u; quad < 8u; quad++) {
      let w = lane % 8u * STRIDE + quad;
      let a = w_tile[w];
      let b = w_tile[w + 8u * STRIDE];
      let c = w_tile[w + 16u * STRIDE];
      let d = w_tile[w + 24u * STRIDE];
      let e = w_tile[w + 32u * STRIDE];
      let f = w_tile[w + 40u * STRIDE];
      let g = w_tile[w + 48u * STRIDE];
      let h = w_tile[w + 56u * STRIDE];
      let from_x = lane / 8u * STRIDE + quad;
      let x0 = x_tile[from_x];
      let x1 = x_tile[from_x + 8u * STRIDE];
      let x2 = x_tile[from_x + 16u * STRIDE];
      let x3 = x_tile[from_x + 24u * STRIDE];
      even0 += dots(x0, a, b, c, d);
      odd0 += dots(x0, e, f, g, h);
      even1 += dots(x1, a, b, c, d);
      odd1 += dots(x1, e, f, g, h);
      even2 += dots(x2, a, b, c, d);
      odd2 += dots(x2, e, f, g, h);
      even3 += dots(x3, a, b, c, d);
      odd3 += dots(x3, e, f, g, h);
    }
    workgroupBarrier();
  }
  return TileProducts(
    array<vec4<f32>, 4>(even0, even1, even2, even3),
    array<vec4<f32>, 4>(odd0, odd1, odd2, odd3),
  );
}
