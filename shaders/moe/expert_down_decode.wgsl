// moe/expert_down_decode: out[t,d] = residual[t,d] + OUT_SCALE * sum over k of weight[t,k] * (down_d . x[t TOP_K + k] + bias_d) by the expert of each pair
//   with UNWEIGHTED every weight counts as 1
//   with BESIDE the sum has down_d . act[t] by the expert beside, too
// in   arena (values, scales)   slot_table [E]   x [P,F] f32: act in pair order   routed [T,2 TOP_K] u32: ids, then weights   residual [T,D], if there is one
//      with BESIDE, x goes on with [T,BESIDE_F] from beside_X_AT on   beside_values
// out  out [T,D] f32; experts whose slot is missing add nothing
// grid [D / (64 / PARTS), T], workgroup 64; PARTS lanes share one d
// num  f32 sums: each part over k, then chunks, then the chunks beside; then the parts in order, the biases by k, the residual
// cost reads the chosen experts' down once a token, x once for every 64 / PARTS d
// twin src/reference/moe/expert_down.ts   entry src/kernels/moe/expert_down.ts
#import moe/expert
#import products
#if SUBGROUPS
#import shared/team_sum
#else
const subgroup: u32 = 1u;
#endif
override D: u32;
override TOP_K: u32;
override PARTS: u32;
#if OUT_SCALED
override OUT_SCALE: f32;
#else
const OUT_SCALE: f32 = 1.0;
#endif

@group(0) @binding(4) var<storage, read> routed: array<u32>;
#if RESIDUAL
@group(0) @binding(5) var<storage, read> residual: array<f32>;
#endif
@group(0) @binding(6) var<storage, read_write> out: array<f32>;

#if BESIDE
#import moe/beside
#import moe/row_share as beside_
#endif

const WIDTH: u32 = WG / PARTS;
/// The chunks of all TOP_K experts, one after the other, are dealt to the parts.
const ITEMS: u32 = TOP_K * W_CHUNKS;
const TRIPS: u32 = (ITEMS + PARTS - 1u) / PARTS;

var<workgroup> parts: array<f32, WG>;

fn chosen_slot(t: u32, k: u32) -> u32 {
  return slot_table[routed[2u * t * TOP_K + k]];
}

fn chosen_weight(t: u32, k: u32) -> f32 {
#if UNWEIGHTED
  return 1.0;
#else
  return bitcast<f32>(routed[(2u * t + 1u) * TOP_K + k]);
#endif
}

@compute @workgroup_size(WG)
fn expert_down_decode(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
#if SUBGROUPS
  @builtin(subgroup_size) subgroup_size: u32,
#endif
) {
#if SUBGROUPS
  subgroup = subgroup_size;
#endif
  let t = workgroup.y;
  let first_d = workgroup.x * WIDTH;
  let row = min(first_d + lane / PARTS, D - 1u);
  var sum = 0.0;
  for (var i = 0u; i < TRIPS; i++) {
    let item = i * PARTS + lane % PARTS;
    if (item < ITEMS) {
      let k = item / W_CHUNKS;
      let chunk = item % W_CHUNKS;
      let slot = chosen_slot(t, k);
      if (slot != MISSING) {
        let matrix = slot_matrix(slot);
        let inputs = chunk_inputs(x_chunk(t * TOP_K + k, chunk));
        sum += chosen_weight(t, k) * chunk_product(matrix, row, chunk, inputs);
      }
    }
  }
#if BESIDE
  sum += beside_row_share(0u, t, row, lane % PARTS);
#endif
#if SUBGROUPS
  sum = team_sum(sum, PARTS);
#endif
  parts[lane] = sum;
  workgroupBarrier();
  let d = first_d + lane;
  if (lane < WIDTH && d < D) {
    var total = 0.0;
    for (var p = 0u; p < PARTS; p++) {
      if (p * subgroup >= PARTS) { break; }
      total += parts[lane * PARTS + p * subgroup];
    }
#if BIAS
    for (var k = 0u; k < TOP_K; k++) { total += chosen_weight(t, k) * slot_bias(chosen_slot(t, k), d); }
#endif
    total *= OUT_SCALE;
#if RESIDUAL
    total = residual[t * D + d] + total;
#endif
    out[t * D + d] = total;
  }
}
