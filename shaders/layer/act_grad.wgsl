// layer/act_grad: dpre[r,2f], dpre[r,2f+1]: gradients of gate f and up f of row r; gate and up are computed anew
// in   arena f32: gate_up at GATE_UP_AT, down at DOWN_AT of each expert's EXPERT_WORDS   x [T,D]   dout [T,D]   pair_of_row [P]   routed [T,2 ALL]
// out  dpre [P,2F] f32, in row order; rows without an expert are left as they are
// grid [P F / 64], workgroup 64; one lane an f of a row
// num  f32, d ascending
// cost reads 5 D words a lane
// twin src/reference/layer/backward.ts   entry src/kernels/layer/backward.ts
#import shared/step
#import shared/fold
#import layer/activation_grad
override D: u32;
override F: u32;
override ALL: u32;
override X: u32;
override EXPERT_WORDS: u32;
override GATE_UP_AT: u32;
override GATE_UP_ROW: u32;
override DOWN_AT: u32;
override DOWN_ROW: u32;

@group(0) @binding(0) var<storage, read> arena: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> dout: array<f32>;
@group(0) @binding(3) var<storage, read> pair_of_row: array<u32>;
@group(0) @binding(4) var<storage, read> routed: array<u32>;
@group(0) @binding(5) var<storage, read_write> dpre: array<f32>;

@compute @workgroup_size(64)
fn act_grad(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = folded(workgroup, workgroups) * 64u + lane;
  let row = i / F;
  let f = i % F;
  if (row >= u_step.tokens * ALL) { return; }
  let pair = pair_of_row[row];
  let t = pair / ALL;
  let id = routed[2u * t * ALL + pair % ALL];
  if (id >= X) { return; }
  let gate_at = id * EXPERT_WORDS + GATE_UP_AT + 2u * f * GATE_UP_ROW;
  let up_at = gate_at + GATE_UP_ROW;
  let down_at = id * EXPERT_WORDS + DOWN_AT + f;
  var gate = 0.0;
  var up = 0.0;
  var dact = 0.0;
  for (var d = 0u; d < D; d++) {
    let value = x[t * D + d];
    gate += arena[gate_at + d] * value;
    up += arena[up_at + d] * value;
    dact += arena[down_at + d * DOWN_ROW] * dout[t * D + d];
  }
  let weight = bitcast<f32>(routed[(2u * t + 1u) * ALL + pair % ALL]);
  let grad = weight * dact * activation_grad(gate, up);
  dpre[row * 2u * F + 2u * f] = grad.x;
  dpre[row * 2u * F + 2u * f + 1u] = grad.y;
}
