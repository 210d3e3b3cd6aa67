// moe/combine: out[t,d] = residual[t,d] + OUT_SCALE * sum over k of weight[t,k] * y[row_of_pair[t TOP_K + k], d]
//   with UNWEIGHTED every weight counts as 1; with NULLS pairs of experts from WEIGHTED on add nothing: their rows of y were never written
//   with BESIDE the sum has shared_weight[t] (1 without BESIDE_GATED) * y[BESIDE_AT + t D + d], too
// in   y [P,D] f32   row_of_pair [P]   routed [T,2 TOP_K] u32: ids, then weights   residual [T,D] f32, if there is one
//      with BESIDE, y goes on with [T,D] from BESIDE_AT on   shared_weight [T] f32
// out  out [T,D] f32
// grid [D / 64, T], workgroup 64; one lane a value
// num  the residual first, then the expert beside, then k ascending
// cost reads (TOP_K + 1) D, writes D words a token
// twin src/reference/moe/combine.ts   entry src/kernels/moe/combine.ts
override D: u32;
override TOP_K: u32;
#if OUT_SCALED
override OUT_SCALE: f32;
#else
const OUT_SCALE: f32 = 1.0;
#endif

@group(0) @binding(0) var<storage, read> y: array<f32>;
@group(0) @binding(1) var<storage, read> row_of_pair: array<u32>;
#if UNWEIGHTED
#else
@group(0) @binding(2) var<storage, read> routed: array<u32>;
#endif
#if RESIDUAL
@group(0) @binding(3) var<storage, read> residual: array<f32>;
#endif
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
#if NULLS
override WEIGHTED: u32;
#endif
#if BESIDE
override BESIDE_AT: u32;
#if BESIDE_GATED
@group(0) @binding(5) var<storage, read> shared_weight: array<f32>;
#endif
#endif

@compute @workgroup_size(64)
fn combine(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let t = workgroup.y;
  let d = workgroup.x * 64u + lane;
  if (d >= D) { return; }
  var sum = 0.0;
#if RESIDUAL
  sum = residual[t * D + d];
#endif
#if BESIDE
  let beside = y[BESIDE_AT + t * D + d] * OUT_SCALE;
#if BESIDE_GATED
  sum += shared_weight[t] * beside;
#else
  sum += beside;
#endif
#endif
  for (var k = 0u; k < TOP_K; k++) {
#if NULLS
    if (routed[2u * t * TOP_K + k] >= WEIGHTED) { continue; }
#endif
#if UNWEIGHTED
    let weight = OUT_SCALE;
#else
    let weight = bitcast<f32>(routed[(2u * t + 1u) * TOP_K + k]) * OUT_SCALE;
#endif
    sum += weight * y[row_of_pair[t * TOP_K + k] * D + d];
  }
  out[t * D + d] = sum;
}
