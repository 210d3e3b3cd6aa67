// linear/matmul_tile in f16, a whole chunk (32 k) at a time: as much workgroup memory, half as many barriers, and two products an instruction on GPUs that
// do so. Inputs are divided by the largest magnitude of their half of a chunk, so that none overflows whatever the model; weights go without their scale.
// The products of half a chunk are added in f16, 8 to a sum, those sums and all halves in f32; with MATRICES all of them in f32.
// The bound: a relative 2^-11 for an input, and for each of at most 9 roundings of a partial sum.
enable f16;
#import linear/tile_lanes
#import linear/half_chunks
const TILE_X: u32 = TILE_TOKENS;
#if MATRICES
#import linear/parts_matrices
#else
#import linear/parts_halves
#endif

var<workgroup> x_scale: array<array<f32, TILE_TOKENS>, 2>;
/// Of the places of W: row 2p is at place p, row 2p + 1 at place 32 + p, so that lanes reading their even rows read neighbours.
var<workgroup> w_scale: array<f32, TILE_ROWS>;

#if GAMMA
/// Of the values that a lane staged of its token; then all lanes'.
var<private> square: f32;
var<workgroup> squares: array<f32, WG>;

/// Of the norm of a token; every lane has left its squares.
fn token_scale(token: u32) -> f32 {
  return inverseSqrt((squares[2u * token] + squares[2u * token + 1u]) / f32(K) + EPS);
}
#endif

/// The lane's half of a chunk of its token; zero for tokens beyond T.
fn stage_x(first_token: u32, chunk: u32, lane: u32) {
  let token = lane / 2u;
  let half = lane % 2u;
  var v = array<vec4<f32>, 4>();
  if (first_token + token < u_step.tokens) {
    for (var i = 0u; i < HALF; i++) {
      let quad = chunk * QUADS + half * HALF + i;
      v[i] = x_quad(first_token + token, quad);
#if GAMMA
      square += dot(v[i], v[i]);
      v[i] *= gamma_quad(quad);
#endif
    }
  }
  let m = part_largest(largest16(v));
  let s = scale_to_one(m);
  for (var i = 0u; i < HALF; i++) { put_x(half * HALF + i, token, vec4<f16>(v[i] * s)); }
  x_scale[half][token] = m;
}

/// The lane's row: one of W.
fn stage_w(row: u32, chunk: u32, lane: u32) {
  let w = unscaled32(0u, row, chunk);
  let place = lane % 2u * 32u + lane / 2u;
  for (var i = 0u; i < QUADS; i++) { put_w(i, place, vec4<f16>(w[i])); }
  w_scale[place] = weight_scale(0u, row, chunk);
}

/// Tokens beyond T count as zero, rows beyond N repeat the last one: the caller stores neither.
fn tile_products(first_token: u32, first_row: u32, lane: u32) -> TileProducts {
  // Named sums instead of arrays: see linear/matmul_tile.
  var even0 = vec4<f32>();
  var even1 = vec4<f32>();
  var even2 = vec4<f32>();
  var even3 = vec4<f32>();
  var odd0 = vec4<f32>();
  var odd1 = vec4<f32>();
  var odd2 = vec4<f32>();
  var odd3 = vec4<f32>();
  let row = min(first_row + lane, N - 1u);
  let token = lane / 8u;
  let place = lane % 8u;
  for (var chunk = 0u; chunk < W_CHUNKS; chunk++) {
    stage_w(row, chunk, lane);
    stage_x(first_token, chunk, lane);
    workgroupBarrier();
    multiply_parts(TILE_TOKENS);
    let even = vec4<f32>(w_scale[place], w_scale[place + 8u], w_scale[place + 16u], w_scale[place + 24u]);
    let odd = vec4<f32>(w_scale[place + 32u], w_scale[place + 40u], w_scale[place + 48u], w_scale[place + 56u]);
    for (var part = 0u; part < PARTS; part++) {
      let x0 = x_part(part, token);
      let x1 = x_part(part, token + 8u);
      let x2 = x_part(part, token + 16u);
      let x3 = x_part(part, token + 24u);
      let s0 = x_scale[part][token];
      let s1 = x_scale[part][token + 8u];
      let s2 = x_scale[part][token + 16u];
      let s3 = x_scale[part][token + 24u];
      let a = w_part(part, place);
      let b = w_part(part, place + 8u);
      let c = w_part(part, place + 16u);
      let d = w_part(part, place + 24u);
      even0 += s0 * even * part_dots(x0, a, b, c, d);
      even1 += s1 * even * part_dots(x1, a, b, c, d);
      even2 += s2 * even * part_dots(x2, a, b, c, d);
      even3 += s3 * even * part_dots(x3, a, b, c, d);
      let e = w_part(part, place + 32u);
      let f = w_part(part, place + 40u);
      let g = w_part(part, place + 48u);
      let h = w_part(part, place + 56u);
      odd0 += s0 * odd * part_dots(x0, e, f, g, h);
      odd1 += s1 * odd * part_dots(x1, e, f, g, h);
      odd2 += s2 * odd * part_dots(x2, e, f, g, h);
      odd3 += s3 * odd * part_dots(x3, e, f, g, h);
    }
    workgroupBarrier();
  }
#if GAMMA
  squares[lane] = square;
  workgroupBarrier();
  let a0 = token_scale(token);
  let a1 = token_scale(token + 8u);
  let a2 = token_scale(token + 16u);
  let a3 = token_scale(token + 24u);
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
