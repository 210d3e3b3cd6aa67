// moe/route: normed = rms_norm(x), or with CENTERED its layer norm, without NORM x; logits = router . normed (+ logit_bias); score; the TOP_K best keys; their weights; optionally sigmoid(shared_gate . normed)
//              with PREDICT also the PREDICTED best keys of the next MoE layer's router, as if x were its input
//              with APPROXIMATE changed as the step says: see src/kernels/moe/route.ts
//              with INTERVENE changed as the layer's intervention says: see src/kernels/moe/intervention.ts; with LOGITS also the logits
//              with ATTENDS router is [3 E,D], rows of q, k and v, and logits = softmax(q k^T) v over the experts
//              with PRODUCTS and without ATTENDS router is [ROWS,D], the first of two maps, and logits = second tanh(router . normed); with DEVIATION logits are divided by their standard deviation and multiplied by LOGITS_DEVIATION
//              with INPUT_SCALED `normed`, as it is written, is multiplied by INPUT_SCALE
//              with ROUTER_GAINS the router reads x / rms(x) * router_gains in place of normed, with EARLY the row of `early` (to predict, x); with EXPERT_SCALE weights are multiplied by expert_scale
// in   x [T,D] f32   early [T,D] f32   router block (src/kernels/moe/router_block.ts): router [E,D] (values, scales), then in vectors with NORM gamma [D] (with NORM_BIAS beta [D]), logit_bias [E],
//      selection_bias [E], shared_gate [D], router_gains [D], expert_scale [E], second [E,ROWS] f32; with PREDICT the next layer's block behind it   slot_table [E] u32
//      interventions: this layer's, with PREDICT the next layer's behind it
// out  normed [T,D] f32   routed u32 [T,2 TOP_K]: ids by descending key, then the bits of their f32 weights; with PREDICT then [T,PREDICTED] ids;
//      with LOGITS then the bits of the f32 logits [T,E]   shared_weight [T] f32
// grid [T folded, z], workgroup WG; one workgroup a token; with PREDICT a second one, z = 1, beside it
// num  f32 sums, each in a fixed order; ties go to the lower id; a NaN key still ranks somewhere, so ids are always TOP_K distinct experts
//      (but for dropped pairs); with APPROXIMATE and the step's defaults, or INTERVENE and an empty intervention, every bit is as without
// cost reads 3 D words and the router (once a token), writes D + 2 TOP_K words a token; PREDICT reads the same again and writes PREDICTED;
//      LOGITS writes E more
// twin src/reference/moe/route.ts   entry src/kernels/moe/route.ts
#import shared/step
#import shared/fold
#import shared/sigmoid
#import shared/tree
#import moe/route_logits
#import moe/route_scores
#import moe/route_keys
#import moe/route_weights
#if APPROXIMATE
#import moe/route_approximate
#endif
override WG: u32;
override E: u32;
override TOP_K: u32;

@group(0) @binding(5) var<storage, read_write> routed: array<u32>;
#if SHARED_GATE
@group(0) @binding(6) var<storage, read_write> shared_weight: array<f32>;
#endif

#if PREDICT
override PREDICTED: u32; // at least TOP_K
const CHOSEN: u32 = PREDICTED;
const ROUTERS: u32 = 2u;
const LOGITS_AT: u32 = 2u * TOP_K + PREDICTED; // words a token
/// 1 in the workgroup that predicts: which of the two blocks it reads.
var<private> ahead: u32;
#else
const CHOSEN: u32 = TOP_K;
const ROUTERS: u32 = 1u;
const LOGITS_AT: u32 = 2u * TOP_K;
const ahead: u32 = 0u;
#endif

const EXPERT_TRIPS: u32 = (E + WG - 1u) / WG;
const LOWEST: f32 = -0x1.fffffep+127f;


#if APPROXIMATE
#else
fn write_routed(t: u32, lane: u32) {
  if (lane < TOP_K) {
    let is_used = lane < used;
    routed[t * 2u * TOP_K + lane] = chosen[select(0u, lane, is_used)];
    routed[t * 2u * TOP_K + TOP_K + lane] = bitcast<u32>(select(0.0, weight_of(lane), is_used));
  }
}
#endif

#if PREDICT
/// Where too few can be chosen, the best is named again.
fn write_predicted(t: u32, lane: u32) {
  if (lane < PREDICTED) {
    let is_likely = lane < used + PREDICTED - TOP_K && !is_masked(chosen[lane]);
    routed[u_step.tokens * 2u * TOP_K + t * PREDICTED + lane] = chosen[select(0u, lane, is_likely)];
  }
}
#endif

@compute @workgroup_size(WG)
fn route(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let t = folded(workgroup, workgroups);
  if (t >= u_step.tokens) { return; }
#if PREDICT
  ahead = workgroup.z;
#endif
#if INTERVENE
  let intervention = interventions[workgroup.z * INTERVENTION_VEC4];
  intervened = intervention.x > 0u;
  used = select(TOP_K, min(intervention.x, TOP_K), intervened);
#endif
  let from_x = t * D;
#if CENTERED
  center = mean(from_x, lane);
#endif
#if NORM
  let scale = inverse_rms(from_x, lane);
#else
  let scale = 1.0;
#endif
  var gate = 0.0;
  for (var block = 0u; block < BLOCKS; block++) {
    gate += stage(block, from_x, scale, lane);
    workgroupBarrier();
    add_block(block, lane);
    workgroupBarrier();
  }
#if SHARED_GATE
  let gate_logit = tree_sum(lane, gate);
  if (lane == 0u && ahead == 0u) { shared_weight[t] = sigmoid(gate_logit); }
#endif
#if PRODUCTS
  add_parts(lane);
  workgroupBarrier();
#endif
  score(t, lane);
  workgroupBarrier();
  select_keys(lane);
#if APPROXIMATE
  if (u_step.cache_prior > 0.0) { raise_keys(lane); }
#endif
#if INTERVENE
  if (intervention.y > 0u) { admit(lane); }
#endif
  choose(lane);
#if PREDICT
  if (workgroup.z == 1u) {
    write_predicted(t, lane);
    return;
  }
#endif
  write_routed(t, lane);
}
