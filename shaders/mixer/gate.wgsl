// mixer/gate: x[t,i] *= sigmoid(g), or with SILU x[t,i] *= g sigmoid(g), where g = gate[t, GATE_AT + i]
// in   gate [T,GATE_ROW] f32
// out  x [T,SIZE] f32, in place
// grid [T ceil(SIZE / 64) folded], workgroup 64; one lane a value
// num  f32
// cost reads 2 and writes 1 word a value
// twin src/reference/mixer/gate.ts   entry src/kernels/mixer/gate.ts
#import shared/step
#import shared/fold
#import shared/sigmoid
override SIZE: u32;
override GATE_ROW: u32;
override GATE_AT: u32;

@group(0) @binding(0) var<storage, read> gate_values: array<f32>;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;

const WG: u32 = 64u;
const BLOCKS: u32 = (SIZE + WG - 1u) / WG;

@compute @workgroup_size(WG)
fn gate(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let id = folded(workgroup, workgroups);
  let t = id / BLOCKS;
  let i = (id % BLOCKS) * WG + lane;
  if (t >= u_step.tokens || i >= SIZE) { return; }
  let g = gate_values[t * GATE_ROW + GATE_AT + i];
  var factor = sigmoid(g);
#if SILU
  factor *= g;
#endif
  x[t * SIZE + i] *= factor;
}
