// moe/tile_products in f16, as linear/matmul_tile_f16 does it, with its bound: a whole chunk (32 k) at a time, inputs divided by the largest of their half of
// a chunk, weights without their scale, the products of half a chunk added in f16. The importer declares the tiles and which lane has what.
enable f16;
#import weight_format
#import linear/x_quads
#import linear/half_chunks
override N: u32;

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

/// Of the tile's row `row` with four places of W, whose scales are `scales`.
fn row_products(half: u32, row: u32, scales: vec4<f32>, a: Half, b: Half, c: Half, d: Half) -> vec4<f32> {
  let q = half * HALF;
  let x = Half(x_tile[q][row], x_tile[q + 1u][row], x_tile[q + 2u][row], x_tile[q + 3u][row]);
  return x_scale[half][row] * scales * dots16(x, a, b, c, d);
}

fn w_half(half: u32, place: u32) -> Half {
  let q = half * HALF;
  return Half(w_tile[q][place], w_tile[q + 1u][place], w_tile[q + 2u][place], w_tile[q + 3u][place]);
}

/// As in moe/tile_products.
fn tile_products(matrix: u32, first: u32, count: u32, x_rows: array<u32, LANE_LOADS>, lane: u32) -> array<vec4<f32>, LANE_ROWS> {
  let row = min(first + lane, N - 1u);
#if INTERLEAVED
  let place = lane / 2u + 32u * (lane % 2u);
#else
  let place = lane;
#endif
  let at_w = lane % 16u;
  let at_x = lane / 16u;
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
#if TALLEST
  var s8 = vec4<f32>();
  var s9 = vec4<f32>();
  var s10 = vec4<f32>();
  var s11 = vec4<f32>();
  var s12 = vec4<f32>();
  var s13 = vec4<f32>();
  var s14 = vec4<f32>();
  var s15 = vec4<f32>();
#endif
  for (var chunk = 0u; chunk < W_CHUNKS; chunk++) {
    stage_w(matrix, row, chunk, place);
    stage_x(load_row(lane, 0u), x_rows[0], chunk, lane);
#if TALLEST
    if (count > 32u) { stage_x(load_row(lane, 1u), x_rows[1], chunk, lane); }
#endif
    workgroupBarrier();
    let scales = vec4<f32>(w_scale[at_w], w_scale[at_w + 16u], w_scale[at_w + 32u], w_scale[at_w + 48u]);
    for (var half = 0u; half < 2u; half++) {
      let a = w_half(half, at_w);
      let b = w_half(half, at_w + 16u);
      let c = w_half(half, at_w + 32u);
      let d = w_half(half, at_w + 48u);
      s0 += row_products(half, at_x, scales, a, b, c, d);
      s1 += row_products(half, at_x + 4u, scales, a, b, c, d);
      if (count > 8u) {
        s2 += row_products(half, at_x + 8u, scales, a, b, c, d);
        s3 += row_products(half, at_x + 12u, scales, a, b, c, d);
      }
#if TALL
      if (count > 16u) {
        s4 += row_products(half, at_x + 16u, scales, a, b, c, d);
        s5 += row_products(half, at_x + 20u, scales, a, b, c, d);
      }
      if (count > 24u) {
        s6 += row_products(half, at_x + 24u, scales, a, b, c, d);
        s7 += row_products(half, at_x + 28u, scales, a, b, c, d);
      }
#endif
#if TALLEST
      if (count > 32u) {
        s8 += row_products(half, at_x + 32u, scales, a, b, c, d);
        s9 += row_products(half, at_x + 36u, scales, a, b, c, d);
      }
      if (count > 40u) {
        s10 += row_products(half, at_x + 40u, scales, a, b, c, d);
        s11 += row_products(half, at_x + 44u, scales, a, b, c, d);
      }
      if (count > 48u) {
        s12 += row_products(half, at_x + 48u, scales, a, b, c, d);
        s13 += row_products(half, at_x + 52u, scales, a, b, c, d);
      }
      if (count > 56u) {
        s14 += row_products(half, at_x + 56u, scales, a, b, c, d);
        s15 += row_products(half, at_x + 60u, scales, a, b, c, d);
      }
#endif
    }
    workgroupBarrier();
  }
#if TALLEST
  return array<vec4<f32>, LANE_ROWS>(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15);
#else
#if TALL
  return array<vec4<f32>, LANE_ROWS>(s0, s1, s2, s3, s4, s5, s6, s7);
#else
  return array<vec4<f32>, LANE_ROWS>(s0, s1, s2, s3);
#endif
#endif
}
