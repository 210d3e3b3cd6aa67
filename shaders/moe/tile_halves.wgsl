// What moe/tile_products multiplies in f16, as linear/matmul_tile_f16 does it, with its bound: a whole chunk (32 k) at a time, inputs divided by the largest of their half of
// a chunk, weights without their scale, the products of half a chunk added in f16. The importer declares the tiles and which lane has what.
enable f16;
#import linear/half_chunks

fn stage_w(matrix: u32, row: u32, chunk: u32, place: u32) {
  let w = unscaled32(matrix, row, chunk);
  for (var i = 0u; i < QUADS; i++) { w_tile[i][place] = vec4<f16>(w[i]); }
  w_scale[place] = weight_scale(matrix, row, chunk);
}

/// The lane's half of a chunk of the tile's row `row`, which is row x_row of x.
fn stage_x(row: u32, x_row: u32, chunk: u32, lane: u32) {
  if (row >= BM) { return; }
  let half = lane % 2u;
  var v: array<vec4<f32>, 4>;
  for (var i = 0u; i < HALF; i++) { v[i] = x_quad(x_row, chunk * QUADS + half * HALF + i); }
  let m = largest16(v);
  let s = scale_to_one(m);
  for (var i = 0u; i < HALF; i++) { x_tile[half * HALF + i][row] = vec4<f16>(v[i] * s); }
  x_scale[half][row] = m;
}

/// A half of a chunk of a place of W.
fn w_part(half: u32, place: u32) -> Half {
  let q = half * HALF;
  return Half(w_tile[q][place], w_tile[q + 1u][place], w_tile[q + 2u][place], w_tile[q + 3u][place]);
}

/// Of the lane's four places, for the chunk at hand.
var<private> w_scales: vec4<f32>;

/// Of the tile's row `row` with four places of W.
fn row_dots(half: u32, row: u32, a: Half, b: Half, c: Half, d: Half) -> vec4<f32> {
  let q = half * HALF;
  let x = Half(x_tile[q][row], x_tile[q + 1u][row], x_tile[q + 2u][row], x_tile[q + 3u][row]);
  return x_scale[half][row] * w_scales * dots16(x, a, b, c, d);
}
