// Four neighbouring rows of a matrix against one row of x, or with BLOCK eight against four, by one lane alone: for software adapters, where lanes are a CPU's vector,
// a load is four loads with their checks, and a barrier makes a coroutine of every four lanes. Sums are named, because an array indexed by a loop
// costs as much as a load does. 960 x 576 in int8 took 6 ms of CPU time with arrays and workgroup memory, takes 2.4 like this, and 0.9 a token
// with BLOCK (SwiftShader, 2 cores). With GAMMA, x is RMS-normed on the way: the sum of squares is gathered beside the products.
#import weight_format
#import shared/dot32
#import linear/x_rows
#if GAMMA
#import linear/gamma
override EPS: f32;
#endif
override N: u32;

/// Which rows of x, and a value for each.
#if BLOCK
const LANE_ROWS: u32 = 8u;
alias Rows = vec4<u32>;
alias Each = vec4<f32>;
struct Inputs {
  a: array<vec4<f32>, 8>,
  b: array<vec4<f32>, 8>,
  c: array<vec4<f32>, 8>,
  d: array<vec4<f32>, 8>,
}

fn inputs(rows: Rows, chunk: u32) -> Inputs {
  return Inputs(x_chunk(rows.x, chunk), x_chunk(rows.y, chunk), x_chunk(rows.z, chunk), x_chunk(rows.w, chunk));
}

fn row_dots(matrix: u32, row: u32, chunk: u32, x: Inputs) -> Each {
  let w = unscaled32(matrix, row, chunk);
  return weight_scale(matrix, row, chunk) * vec4<f32>(dot32(w, x.a), dot32(w, x.b), dot32(w, x.c), dot32(w, x.d));
}
#else
const LANE_ROWS: u32 = 4u;
alias Rows = u32;
alias Each = f32;
alias Inputs = array<vec4<f32>, 8>;

fn inputs(rows: Rows, chunk: u32) -> Inputs {
  return x_chunk(rows, chunk);
}

fn row_dots(matrix: u32, row: u32, chunk: u32, x: Inputs) -> Each {
  return weight_scale(matrix, row, chunk) * dot32(unscaled32(matrix, row, chunk), x);
}
#endif

#if GAMMA
fn gained_row(x: array<vec4<f32>, 8>, chunk: u32) -> array<vec4<f32>, 8> {
  let q = chunk * 8u;
  return array<vec4<f32>, 8>(
    x[0] * gamma_quad(q),
    x[1] * gamma_quad(q + 1u),
    x[2] * gamma_quad(q + 2u),
    x[3] * gamma_quad(q + 3u),
    x[4] * gamma_quad(q + 4u),
    x[5] * gamma_quad(q + 5u),
    x[6] * gamma_quad(q + 6u),
    x[7] * gamma_quad(q + 7u),
  );
}

#if BLOCK
fn gained(x: Inputs, chunk: u32) -> Inputs {
  return Inputs(gained_row(x.a, chunk), gained_row(x.b, chunk), gained_row(x.c, chunk), gained_row(x.d, chunk));
}

fn squares(x: Inputs) -> Each {
  return vec4<f32>(dot32(x.a, x.a), dot32(x.b, x.b), dot32(x.c, x.c), dot32(x.d, x.d));
}
#else
fn gained(x: Inputs, chunk: u32) -> Inputs {
  return gained_row(x, chunk);
}

fn squares(x: Inputs) -> Each {
  return dot32(x, x);
}
#endif
#endif

/// Products of rows n, n + 1, ...
struct LaneProducts {
  a: Each,
  b: Each,
  c: Each,
  d: Each,
#if BLOCK
  e: Each,
  f: Each,
  g: Each,
  h: Each,
#endif
}

/// Rows beyond N repeat the last one.
fn lane_products(matrix: u32, rows: Rows, n: u32) -> LaneProducts {
  var p = LaneProducts();
#if GAMMA
  var square = Each();
#endif
  for (var chunk = 0u; chunk < W_CHUNKS; chunk++) {
#if GAMMA
    let raw = inputs(rows, chunk);
    square += squares(raw);
    let x = gained(raw, chunk);
#else
    let x = inputs(rows, chunk);
#endif
    for (var r = 0u; r < LANE_ROWS; r++) {
      let dots = row_dots(matrix, min(n + r, N - 1u), chunk, x);
      p.a += select(Each(), dots, r == 0u);
      p.b += select(Each(), dots, r == 1u);
      p.c += select(Each(), dots, r == 2u);
      p.d += select(Each(), dots, r == 3u);
#if BLOCK
      p.e += select(Each(), dots, r == 4u);
      p.f += select(Each(), dots, r == 5u);
      p.g += select(Each(), dots, r == 6u);
      p.h += select(Each(), dots, r == 7u);
#endif
    }
  }
#if GAMMA
  let scale = inverseSqrt(square / f32(K) + EPS);
  p.a *= scale;
  p.b *= scale;
  p.c *= scale;
  p.d *= scale;
#if BLOCK
  p.e *= scale;
  p.f *= scale;
  p.g *= scale;
  p.h *= scale;
#endif
  return p;
#else
  return p;
#endif
}
