// A tile of x W^T by one workgroup of 64: 32 tokens x 64 rows of W, half a chunk (16 k) at a time through workgroup memory. A lane owns 4 tokens
// and 4 pairs of neighbouring rows: it multiplies 4 x 8 values for 12 loads of four.
// Whole chunks would save every other barrier and take 13.5 KiB instead of 7.5: fewer workgroups at a time, and on SwiftShader, which sets
// workgroup memory to zero word by word, twice the compile time (1.8 s instead of 0.9).
// With GAMMA, x is RMS-normed on the way: the sums of squares are gathered while x is staged and divide the products at the end.
#import linear/tile_lanes

/// Quads of half a chunk.
const QUADS: u32 = 4u;
/// One more, so that eight neighbouring rows fall on different banks.
const STRIDE: u32 = 5u;
var<workgroup> x_tile: array<vec4<f32>, TILE_TOKENS * STRIDE>;
/// Row 2p is at place p, row 2p + 1 at place 32 + p, so that lanes reading their even rows read neighbours.
var<workgroup> w_tile: array<vec4<f32>, TILE_ROWS * STRIDE>;

#if GAMMA
/// Of the values that a lane staged of its two tokens; then all lanes', [token][lane % QUADS].
var<private> square: vec2<f32>;
var<workgroup> squares: array<f32, TILE_TOKENS * QUADS>;

/// Of the norm of a token; every lane has left its squares.
fn token_scale(token: u32) -> f32 {
  let at = token * QUADS;
  let sum = (squares[at] + squares[at + 1u]) + (squares[at + 2u] + squares[at + 3u]);
  return inverseSqrt(sum / f32(K) + EPS);
}
#endif

/// Quads first_quad.. of 32 rows of x; zero for tokens beyond T.
fn stage_x(first_token: u32, first_quad: u32, lane: u32) {
  for (var i = 0u; i < TILE_TOKENS * QUADS / WG; i++) {
    let token = i * (WG / QUADS) + lane / QUADS;
    let quad = lane % QUADS;
    var v = vec4<f32>();
    if (first_token + token < u_step.tokens) { v = x_quad(first_token + token, first_quad + quad); }
#if GAMMA
    square[i] += dot(v, v);
    v *= gamma_quad(first_quad + quad);
#endif
    x_tile[token * STRIDE + quad] = v;
  }
}

/// The lane's row: one of W.
fn stage_w(lane: u32, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) {
  let to = (lane % 2u * 32u + lane / 2u) * STRIDE;
  w_tile[to] = a;
  w_tile[to + 1u] = b;
  w_tile[to + 2u] = c;
  w_tile[to + 3u] = d;
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
    let row = weight32(0u, min(first_row + lane, N - 1u), chunk);
    for (var half = 0u; half < 2u; half++) {
      stage_x(first_token, chunk * 8u + half * QUADS, lane);
      // Constant indices keep `row` in registers.
      if (half == 0u) { stage_w(lane, row[0], row[1], row[2], row[3]); } else { stage_w(lane, row[4], row[5], row[6], row[7]); }
      workgroupBarrier();
      for (var quad = 0u; quad < QUADS; quad++) {
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
  }
#if GAMMA
  squares[lane] = square.x; // token lane / QUADS, then the one TILE_TOKENS / 2 further
  squares[WG + lane] = square.y;
  workgroupBarrier();
  let a0 = token_scale(tile_token(lane, 0u));
  let a1 = token_scale(tile_token(lane, 1u));
  let a2 = token_scale(tile_token(lane, 2u));
  let a3 = token_scale(tile_token(lane, 3u));
  even0 *= a0;
  odd0 *= a0;
  even1 *= a1;
  odd1 *= a1;
  even2 *= a2;
  odd2 *= a2;
  even3 *= a3;
  odd3 *= a3;
#endif
  return TileProducts(
    array<vec4<f32>, 4>(even0, even1, even2, even3),
    array<vec4<f32>, 4>(odd0, odd1, odd2, odd3),
  );
}
