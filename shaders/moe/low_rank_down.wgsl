// moe/low_rank_down: hidden[p,r] = A_r . x[row of p], A of the expert of pair p = t TOP_K + k; rows as moe/low_rank says
// in   maps [S,R,K] f32   places [E] u32: place in maps, or UNCHANGED   routed [T,2 TOP_K] u32: ids, then weights   x [.,K] f32   row_of_pair [P]
// out  hidden [P,R] f32, in pair order; left as it is where the expert has no maps
// grid [R / (64 / PARTS), TOP_K, T], workgroup 64; PARTS lanes share one r
// num  f32 sums: each part over its columns in order, then the parts in order; a pair's bits do not depend on the others
// cost reads A of the chosen experts once a pair, x once for every 64 / PARTS r
// twin src/reference/moe/low_rank.ts   entry src/kernels/moe/low_rank.ts
#import moe/low_rank
override K: u32;
override PARTS: u32;

@group(0) @binding(4) var<storage, read> x: array<f32>;
@group(0) @binding(5) var<storage, read_write> hidden: array<f32>;

const WIDTH: u32 = 64u / PARTS;

var<workgroup> parts: array<f32, 64>;

@compute @workgroup_size(64)
fn low_rank_down(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let t = workgroup.z;
  let pair = t * TOP_K + workgroup.y;
  let place = place_of(t, workgroup.y);
  if (place == UNCHANGED) { return; }
  let first = workgroup.x * WIDTH;
  let at = (place * R + min(first + lane / PARTS, R - 1u)) * K;
  let x_at = row_of(pair) * K;
  var sum = 0.0;
  for (var k = lane % PARTS; k < K; k += PARTS) { sum += maps[at + k] * x[x_at + k]; }
  parts[lane] = sum;
  workgroupBarrier();
  if (lane < WIDTH && first + lane < R) {
    var total = 0.0;
    for (var p = 0u; p < PARTS; p++) { total += parts[lane * PARTS + p]; }
    hidden[pair * R + first + lane] = total;
  }
}
