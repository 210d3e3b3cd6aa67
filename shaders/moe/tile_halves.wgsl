// What moe/tile_products multiplies in f16, as linear/matmul_tile_f16 does it, with its bound: a whole chunk (32 k) at a time, inputs divided by the largest of their half of
// a chunk, weights without their scale. The importer declares the tiles, which lane has what, and the products of parts.
enable f16;
#import linear/half_chunks

fn stage_w(matrix: u32, row: u32, chunk: u32, place: u32) {
  let w = unscaled32(matrix, row, chunk);
  for (var i = 0u; i < QUADS; i++) { put_w(i, place, vec4<f16>(w[i])); }
  w_scale[place] = weight_scale(matrix, row, chunk);
}

/// The lane's half of a chunk of the tile's row `row`, which is row x_row of x.
fn stage_x(row: u32, x_row: u32, chunk: u32, lane: u32) {
  let half = lane % 2u;
  var v = array<vec4<f32>, 4>();
  if (row < BM) {
    for (var i = 0u; i < HALF; i++) { v[i] = x_quad(x_row, chunk * QUADS + half * HALF + i); }
  }
  let m = part_largest(largest16(v));
  if (row >= BM) { return; }
  let s = scale_to_one(m);
  for (var i = 0u; i < HALF; i++) { put_x(half * HALF + i, row, vec4<f16>(v[i] * s)); }
  x_scale[half][row] = m;
}

/// Of the lane's four places, for the chunk at hand.
var<private> w_scales: vec4<f32>;

/// Of the tile's row `row` with four places of W.
fn row_dots(part: u32, row: u32, a: Part, b: Part, c: Part, d: Part) -> vec4<f32> {
  return x_scale[part][row] * w_scales * part_dots(x_part(part, row), a, b, c, d);
}
