// moe/expert_up_decode: act[p,f] = activate(gate_f . x[t] + bias, up_f . x[t] + bias) by the expert of pair p = t TOP_K + k
//   with BESIDE also act = activate(gate_f . x[t], up_f . x[t]) by the expert beside, times shared_weight[t] when BESIDE_GATED
// in   arena (values, scales)   slot_table [E]   x [T,D] f32   routed [T,2 TOP_K] u32: ids, then weights   beside_values   shared_weight [T] f32
// out  act [P,F] f32, in pair order; zero where the expert's slot is missing; with BESIDE, [T,BESIDE_F] from BESIDE_AT on; rows are twice as long
//      where each row of a matrix gives a value: see shared/activation
// grid [F / (64 / PARTS), T (TOP_K + BESIDE_Y)], workgroup 64; PARTS lanes share the two rows of one f; a token's pairs, then BESIDE_Y rows of
//      workgroups for its expert beside
// num  f32 sums: each part over its chunks in order, then the parts in order
// cost reads the chosen experts' gate_up once a pair, x once for every 64 / PARTS f
// twin src/reference/moe/expert_up.ts   entry src/kernels/moe/expert_up.ts
#import shared/activation
#import moe/expert
#import moe/up_rows
#if SUBGROUPS
#import shared/team_sum
#else
const subgroup: u32 = 1u;
#endif
override F: u32;
override TOP_K: u32;
override PARTS: u32;

@group(0) @binding(4) var<storage, read> routed: array<u32>;
@group(0) @binding(5) var<storage, read_write> act: array<f32>;

#if BESIDE
#import moe/beside
#import moe/up_rows as beside_
override BESIDE_F: u32;
override BESIDE_AT: u32;
override BESIDE_Y: u32;
#if BESIDE_GATED
@group(0) @binding(6) var<storage, read> shared_weight: array<f32>;
#endif
#else
const BESIDE_Y: u32 = 0u;
#endif

const WIDTH: u32 = WG / PARTS;

var<workgroup> parts: array<vec2<f32>, WG>;

/// Leaves a lane's share for `whole`, behind a barrier.
fn share(lane: u32, part: vec2<f32>) {
#if SUBGROUPS
  parts[lane] = vec2<f32>(team_sum(part.x, PARTS), team_sum(part.y, PARTS));
#else
  parts[lane] = part;
#endif
}

/// What the parts of an f, first_f + at, come to.
fn whole(at: u32) -> vec2<f32> {
  var sum = vec2<f32>();
  for (var i = 0u; i < PARTS; i++) {
    if (i * subgroup >= PARTS) { break; }
    sum += parts[at * PARTS + i * subgroup];
  }
  return sum;
}

#if BESIDE
/// WIDTH values from first_f on, of token t.
fn expert_beside(t: u32, first_f: u32, lane: u32) {
  if (first_f >= BESIDE_F) { return; }
  share(lane, beside_up_share(0u, t, 2u * min(first_f + lane / PARTS, BESIDE_F - 1u), lane % PARTS));
  workgroupBarrier();
  if (lane < WIDTH && first_f + lane < BESIDE_F) {
    let sum = whole(lane);
    for (var v = 0u; v < PAIR_VALUES; v++) {
      var value = activate(v, sum.x, sum.y);
#if BESIDE_GATED
      value *= shared_weight[t];
#endif
      act[BESIDE_AT + (t * PAIR_VALUES + v) * BESIDE_F + first_f + lane] = value;
    }
  }
}
#endif

@compute @workgroup_size(WG)
fn expert_up_decode(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
#if SUBGROUPS
  @builtin(subgroup_size) subgroup_size: u32,
#endif
) {
#if SUBGROUPS
  subgroup = subgroup_size;
#endif
  let t = workgroup.y / (TOP_K + BESIDE_Y);
  let k = workgroup.y % (TOP_K + BESIDE_Y);
#if BESIDE
  if (k >= TOP_K) {
    expert_beside(t, ((k - TOP_K) * ((F + WIDTH - 1u) / WIDTH) + workgroup.x) * WIDTH, lane);
    return;
  }
#endif
  let pair = t * TOP_K + k;
  let slot = slot_table[routed[t * 2u * TOP_K + k]];
  let first_f = workgroup.x * WIDTH;
  let written = lane < WIDTH && first_f + lane < F;
  if (slot == MISSING) {
    for (var v = 0u; v < PAIR_VALUES; v++) {
      if (written) { act[(pair * PAIR_VALUES + v) * F + first_f + lane] = 0.0; }
    }
    return;
  }
  share(lane, up_share(slot_matrix(slot), t, 2u * min(first_f + lane / PARTS, F - 1u), lane % PARTS));
  workgroupBarrier();
  if (written) {
    let f = first_f + lane;
    let sum = vec2<f32>(slot_bias(slot, 2u * f), slot_bias(slot, 2u * f + 1u)) + whole(lane);
    for (var v = 0u; v < PAIR_VALUES; v++) { act[(pair * PAIR_VALUES + v) * F + f] = activate(v, sum.x, sum.y); }
  }
}
