// moe/low_rank_sum: out[t,d] = residual[t,d] + OUT_SCALE * sum over k of weight[t,k] * (B_d . hidden[p]), B of the expert of pair p = t TOP_K + k
//   with UNWEIGHTED every weight counts as 1
// in   maps [S,R,D] f32: B, columns first   places [E] u32: place in maps, or UNCHANGED   routed [T,2 TOP_K] u32: ids, then weights
//      hidden [P,R] f32, in pair order   residual [T,D] f32, if there is one
// out  out [T,D] f32
// grid [D / 64, 1, T], workgroup 64; one lane a d
// num  f32 sums over r in order, then over k in order, the residual last
// cost reads B of the chosen experts once a pair
// twin src/reference/moe/low_rank.ts   entry src/kernels/moe/low_rank.ts
#import moe/low_rank
override D: u32;
override OUT_SCALE: f32;

@group(0) @binding(4) var<storage, read> hidden: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
#if RESIDUAL
@group(0) @binding(6) var<storage, read> residual: array<f32>;
#endif

@compute @workgroup_size(64)
fn low_rank_sum(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let t = workgroup.z;
  let d = workgroup.x * 64u + lane;
  if (d >= D) { return; }
  var sum = 0.0;
  for (var k = 0u; k < TOP_K; k++) {
    let place = place_of(t, k);
    if (place == UNCHANGED) { continue; }
    var total = 0.0;
    for (var r = 0u; r < R; r++) { total += maps[(place * R + r) * D + d] * hidden[(t * TOP_K + k) * R + r]; }
#if UNWEIGHTED
    sum += total;
#else
    sum += bitcast<f32>(routed[(2u * t + 1u) * TOP_K + k]) * total;
#endif
  }
  sum *= OUT_SCALE;
#if RESIDUAL
  sum += residual[t * D + d];
#endif
  out[t * D + d] = sum;
}
