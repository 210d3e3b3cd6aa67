// moe/low_rank_act: act[row,f] = activate(pairs[row,f] + B_f . hidden[p], pairs[row,F+f] + B_(F+f) . hidden[p] behind it), B of the expert of pair p
//   rows as moe/low_rank says
// in   maps [S,R,2F] f32: B, columns first   places [E] u32: place in maps, or UNCHANGED   routed [T,2 TOP_K] u32: ids, then weights
//      hidden [P,2R] f32, in pair order: for gate, then for up   pairs [P,2F] f32   row_of_pair [P]
// out  act [P,F] f32; rows are twice as long where each row of a matrix gives a value: see shared/activation
// grid [F / 64, TOP_K, T], workgroup 64; one lane an f
// num  f32 sums over r in order, added to the product at the end
// cost reads B of the chosen experts and the products once a pair
// twin src/reference/moe/low_rank.ts   entry src/kernels/moe/low_rank.ts
#import shared/activation
#import moe/low_rank
override F: u32;

@group(0) @binding(4) var<storage, read> pairs: array<f32>;
@group(0) @binding(5) var<storage, read_write> act: array<f32>;
@group(0) @binding(6) var<storage, read> hidden: array<f32>;

@compute @workgroup_size(64)
fn low_rank_act(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let t = workgroup.z;
  let pair = t * TOP_K + workgroup.y;
  let place = place_of(t, workgroup.y);
  let f = workgroup.x * 64u + lane;
  if (f >= F) { return; }
  let row = row_of(pair);
  var sum = vec2<f32>();
  if (place != UNCHANGED) {
    for (var r = 0u; r < R; r++) {
      let at = (place * R + r) * 2u * F + f;
      sum += vec2<f32>(maps[at] * hidden[2u * pair * R + r], maps[at + F] * hidden[(2u * pair + 1u) * R + r]);
    }
  }
  sum += vec2<f32>(pairs[2u * row * F + f], pairs[(2u * row + 1u) * F + f]);
  for (var v = 0u; v < PAIR_VALUES; v++) { act[(row * PAIR_VALUES + v) * F + f] = activate(v, sum.x, sum.y); }
}
