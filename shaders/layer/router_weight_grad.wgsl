// layer/router_weight_grad: drouter[m,d] = sum over t of dlogits[t,m] * input[t,d]; the input is that of layer/logits
// in   dlogits [T,M]   x [T,D]   router_x [T,D]
// out  drouter [M,D] f32
// grid [M D / 64], workgroup 64; one lane a weight
// num  f32, t ascending
// cost reads 2 T words a weight
// twin src/reference/layer/backward.ts   entry src/kernels/layer/backward.ts
#import shared/step
#import shared/fold
override D: u32;
override M: u32;
override RESIDUAL_ROWS: u32;

@group(0) @binding(0) var<storage, read> dlogits: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> router_x: array<f32>;
@group(0) @binding(3) var<storage, read_write> drouter: array<f32>;

@compute @workgroup_size(64)
fn router_weight_grad(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = folded(workgroup, workgroups) * 64u + lane;
  if (i >= M * D) { return; }
  let m = i / D;
  let d = i % D;
  var sum = 0.0;
  if (m + RESIDUAL_ROWS >= M) {
    for (var t = 0u; t < u_step.tokens; t++) { sum += dlogits[t * M + m] * x[t * D + d]; }
  } else {
    for (var t = 0u; t < u_step.tokens; t++) { sum += dlogits[t * M + m] * router_x[t * D + d]; }
  }
  drouter[i] = sum;
}
