// The products of moe/expert_tile with one matrix of N rows: the importer declares the tiles in workgroup memory and which lane has what.
#import weight_format
#import linear/x_quads
override N: u32;

#if F16
#import moe/tile_halves
#else
fn stage_w(place: u32, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) {
  w_tile[place] = a;
  w_tile[COLUMNS + place] = b;
  w_tile[2u * COLUMNS + place] = c;
  w_tile[3u * COLUMNS + place] = d;
}

fn row_dots(q: u32, at_x: u32, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> vec4<f32> {
  let x = x_tile[at_x];
  return vec4<f32>(dot(x, a), dot(x, b), dot(x, c), dot(x, d));
}
#endif

/// `x_rows[i]` is the row of x that stands at the tile's row load_row(lane, i). Matrix rows beyond N repeat the last one. Products are those of the
/// tile's first `count` rows, up to a multiple of 8; beyond that they are 0.
fn tile_products(matrix: u32, first: u32, count: u32, x_rows: array<u32, LANE_LOADS>, lane: u32) -> array<vec4<f32>, LANE_ROWS> {
  let row = min(first + lane, N - 1u);
#if INTERLEAVED
  let place = lane / 2u + 32u * (lane % 2u);
#else
  let place = lane;
#endif
#if F16
  let at_w = lane % 16u;
  let at_x = lane / 16u;
#else
  let to_x = lane % QUADS * BM + lane / QUADS;
#endif
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
#if F16
    stage_w(matrix, row, chunk, place);
    stage_x(load_row(lane, 0u), x_rows[0], chunk, lane);
#if TALLEST
    if (count > 32u) { stage_x(load_row(lane, 1u), x_rows[1], chunk, lane); }
#endif
    workgroupBarrier();
    multiply_parts(count);
    w_scales = vec4<f32>(w_scale[at_w], w_scale[at_w + 16u], w_scale[at_w + 32u], w_scale[at_w + 48u]);
    {
      for (var q = 0u; q < PARTS; q++) {
        let a = w_part(q, at_w);
        let b = w_part(q, at_w + 16u);
        let c = w_part(q, at_w + 32u);
        let d = w_part(q, at_w + 48u);
#else
    let w = weight32(matrix, row, chunk);
    for (var half = 0u; half < 2u; half++) {
      // Constant indices keep `w` in registers.
      if (half == 0u) { stage_w(place, w[0], w[1], w[2], w[3]); } else { stage_w(place, w[4], w[5], w[6], w[7]); }
      let quad = chunk * 8u + half * QUADS + lane % QUADS;
      x_tile[to_x] = x_quad(x_rows[0], quad);
#if TALL
      if (count > 16u) { x_tile[to_x + 16u] = x_quad(x_rows[1], quad); }
#endif
#if TALLEST
      if (count > 32u) { x_tile[to_x + 32u] = x_quad(x_rows[2], quad); }
      if (count > 48u) { x_tile[to_x + 48u] = x_quad(x_rows[3], quad); }
#endif
      workgroupBarrier();
      for (var q = 0u; q < QUADS; q++) {
        let at_w = q * COLUMNS + lane % 16u;
        let a = w_tile[at_w];
        let b = w_tile[at_w + 16u];
        let c = w_tile[at_w + 32u];
        let d = w_tile[at_w + 48u];
        let at_x = q * BM + lane / 16u;
#endif
        s0 += row_dots(q, at_x, a, b, c, d);
        s1 += row_dots(q, at_x + 4u, a, b, c, d);
        if (count > 8u) {
          s2 += row_dots(q, at_x + 8u, a, b, c, d);
          s3 += row_dots(q, at_x + 12u, a, b, c, d);
        }
#if TALL
        if (count > 16u) {
          s4 += row_dots(q, at_x + 16u, a, b, c, d);
          s5 += row_dots(q, at_x + 20u, a, b, c, d);
        }
        if (count > 24u) {
          s6 += row_dots(q, at_x + 24u, a, b, c, d);
          s7 += row_dots(q, at_x + 28u, a, b, c, d);
        }
#endif
#if TALLEST
        if (count > 32u) {
          s8 += row_dots(q, at_x + 32u, a, b, c, d);
          s9 += row_dots(q, at_x + 36u, a, b, c, d);
        }
        if (count > 40u) {
          s10 += row_dots(q, at_x + 40u, a, b, c, d);
          s11 += row_dots(q, at_x + 44u, a, b, c, d);
        }
        if (count > 48u) {
          s12 += row_dots(q, at_x + 48u, a, b, c, d);
          s13 += row_dots(q, at_x + 52u, a, b, c, d);
        }
        if (count > 56u) {
          s14 += row_dots(q, at_x + 56u, a, b, c, d);
          s15 += row_dots(q, at_x + 60u, a, b, c, d);
        }
#endif
      }
      workgroupBarrier();
    }
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
