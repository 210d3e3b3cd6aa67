// layer/jitter: router_x[t,d] = x[t,d] * (1 + JITTER * (2u - 1)), u drawn for (t,d); x itself outside training
// in   x [T,D] f32   u_gate
// out  router_x [T,D] f32
// grid [T D / 64], workgroup 64; one lane a value
// num  f32
// cost reads and writes T D words, one Philox each
// twin src/reference/layer/gate.ts   entry src/kernels/layer/gate.ts
#import shared/step
#import shared/fold
#import layer/jitter_factor
override D: u32;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> router_x: array<f32>;

@compute @workgroup_size(64)
fn jitter(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = folded(workgroup, workgroups) * 64u + lane;
  if (i >= u_step.tokens * D) { return; }
  router_x[i] = x[i] * jitter_factor(i / D, i % D);
}
