// How tiles in f16 are kept and multiplied by the lanes themselves: a part is half a chunk (16 k) of a row of x or of a place of W. linear/parts_matrices has the same names.
// The importer has TILE_X rows of x and 64 places of W.
enable f16;

const PARTS: u32 = 2u;
alias Part = array<vec4<f16>, 4>;

/// Arrays of arrays: a browser clamps an index that it does not know, and so does it once for all quads of a row or a place.
var<workgroup> x_tile: array<array<vec4<f16>, TILE_X>, 8>;
var<workgroup> w_tile: array<array<vec4<f16>, 64>, 8>;

fn put_x(quad: u32, row: u32, v: vec4<f16>) {
  x_tile[quad][row] = v;
}

fn put_w(quad: u32, place: u32, v: vec4<f16>) {
  w_tile[quad][place] = v;
}

/// By which a half of a chunk is divided, given its own largest: each half has its own.
fn part_largest(half_largest: f32) -> f32 {
  return half_largest;
}

/// Everything is staged; the first `count` rows of x are wanted, or all.
fn multiply_parts(count: u32) {}

fn x_part(part: u32, row: u32) -> Part {
  let q = part * 4u;
  return Part(x_tile[q][row], x_tile[q + 1u][row], x_tile[q + 2u][row], x_tile[q + 3u][row]);
}

fn w_part(part: u32, place: u32) -> Part {
  let q = part * 4u;
  return Part(w_tile[q][place], w_tile[q + 1u][place], w_tile[q + 2u][place], w_tile[q + 3u][place]);
}

fn part_dot(x: Part, w: Part) -> f32 {
  let s = x[0] * w[0] + x[1] * w[1] + x[2] * w[2] + x[3] * w[3];
  let t = s.xy + s.zw;
  return f32(t.x) + f32(t.y);
}

fn part_dots(x: Part, a: Part, b: Part, c: Part, d: Part) -> vec4<f32> {
  return vec4<f32>(part_dot(x, a), part_dot(x, b), part_dot(x, c), part_dot(x, d));
}
