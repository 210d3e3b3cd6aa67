// linear/parts_halves by the adapter's subgroup matrices: a part is a whole chunk (32 k), and what is left of it is its row's or its place's number, because the products lie finished in workgroup
// memory. Each subgroup takes MATRIX_N places and multiplies MATRIX_M rows of x with them, MATRIX_K k at a time.
// num  products of f16, added up in f32 in an order that is the adapter's; what is rounded is an input, by a relative 2^-11, or 2^-25 of its chunk's largest
// https://github.com/gpuweb/gpuweb/blob/main/proposals/subgroup-matrix.md
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
override MATRIX_M: u32;
override MATRIX_N: u32;
override MATRIX_K: u32;

const PARTS: u32 = 1u;
alias Part = u32;

/// From row to row, and from place to place: a chunk and 8 more, so that neighbours fall on different banks.
const SPAN: u32 = 40u;
var<workgroup> x_tile: array<f16, TILE_X * SPAN>;
var<workgroup> w_tile: array<f16, 64u * SPAN>;
/// 64 places and 8 more.
const SUMS: u32 = 72u;
var<workgroup> part_sums: array<f32, TILE_X * SUMS>;

/// This subgroup, and how many there are: of @builtin(subgroup_id) and @builtin(num_subgroups).
struct Team {
  own: u32,
  all: u32,
}
var<private> team: Team;

fn put_x(quad: u32, row: u32, v: vec4<f16>) {
  let at = row * SPAN + 4u * quad;
  for (var i = 0u; i < 4u; i++) { x_tile[at + i] = v[i]; }
}

fn put_w(quad: u32, place: u32, v: vec4<f16>) {
  let at = place * SPAN + 4u * quad;
  for (var i = 0u; i < 4u; i++) { w_tile[at + i] = v[i]; }
}

/// The same for both halves, which neighbouring lanes have.
fn part_largest(half_largest: f32) -> f32 {
  return max(half_largest, subgroupShuffleXor(half_largest, 1u));
}

const STEPS: u32 = 32u / MATRIX_K;

// Subgroups take turns by their number, which the browser's analysis does not follow: all lanes of one do the same.
@diagnostic(off, chromium.subgroup_matrix_uniformity)
fn multiply_parts(count: u32) {
  for (var n = team.own * MATRIX_N; n < 64u; n += team.all * MATRIX_N) {
    var w: array<subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>, STEPS>;
    for (var i = 0u; i < STEPS; i++) {
      w[i] = subgroupMatrixLoad<subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>, col_major>(&w_tile, n * SPAN + i * MATRIX_K, SPAN);
    }
    for (var m = 0u; m < min(count, TILE_X); m += MATRIX_M) {
      // Spelt out: with Mesa 26.2 a bare declaration keeps the last turn's value.
      var sum = subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>();
      for (var i = 0u; i < STEPS; i++) {
        let x = subgroupMatrixLoad<subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>, row_major>(&x_tile, m * SPAN + i * MATRIX_K, SPAN);
        sum = subgroupMatrixMultiplyAccumulate(x, w[i], sum);
      }
      subgroupMatrixStore<row_major>(&part_sums, m * SUMS + n, sum, SUMS);
    }
  }
  workgroupBarrier();
}

fn x_part(part: u32, row: u32) -> Part {
  return row * SUMS;
}

fn w_part(part: u32, place: u32) -> Part {
  return place;
}

fn part_dots(x: Part, a: Part, b: Part, c: Part, d: Part) -> vec4<f32> {
  return vec4<f32>(part_sums[x + a], part_sums[x + b], part_sums[x + c], part_sums[x + d]);
}
