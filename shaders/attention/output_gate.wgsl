// attention/output_gate: attended[t,i] *= sigmoid(gates[t GATE_ROW + GATE_AT + i / GATE_EACH]), with SOFTPLUS log(1 + exp(gates[...]))
// in   gates [T,GATE_ROW] f32   attended [T,N] f32
// out  attended
// grid [N / 64 folded, T], workgroup 64; one lane a value
// num  f32
// cost reads 2 N, writes N words a token
// twin src/reference/attention/output_gate.ts   entry src/kernels/attention/output_gate.ts
#import shared/fold
#import shared/sigmoid
#import shared/softplus
override N: u32;
override GATE_ROW: u32;
override GATE_AT: u32;
/// Neighbouring values that a gate multiplies.
override GATE_EACH: u32;

@group(0) @binding(0) var<storage, read> gates: array<f32>;
@group(0) @binding(1) var<storage, read_write> attended: array<f32>;

@compute @workgroup_size(64)
fn output_gate(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = folded(workgroup, workgroups) * 64u + lane;
  let t = workgroup.z;
  if (i >= N) { return; }
  let gate = gates[t * GATE_ROW + GATE_AT + i / GATE_EACH];
#if SOFTPLUS
  attended[t * N + i] *= softplus(gate);
#else
  attended[t * N + i] *= sigmoid(gate);
#endif
}
