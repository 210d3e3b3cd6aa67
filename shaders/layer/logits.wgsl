// layer/logits: logits[t,m] = router[m] . input[t]; the input is router_x, and x for the two rows of mixing coefficients
// in   x [T,D]   router_x [T,D]   router [M,D] f32: rows of scores, of noise, of coefficients
// out  out [T,M] f32
// grid [T M / 64], workgroup 64; one lane a value
// num  f32, d ascending
// cost reads 2 D words a value
// twin src/reference/layer/gate.ts   entry src/kernels/layer/gate.ts
#import shared/step
#import shared/fold
override D: u32;
override M: u32;
override RESIDUAL_ROWS: u32;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> router_x: array<f32>;
@group(0) @binding(2) var<storage, read> router: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn logits(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = folded(workgroup, workgroups) * 64u + lane;
  if (i >= u_step.tokens * M) { return; }
  let token = (i / M) * D;
  let row = (i % M) * D;
  var sum = 0.0;
  if (i % M + RESIDUAL_ROWS >= M) {
    for (var d = 0u; d < D; d++) { sum += router[row + d] * x[token + d]; }
  } else {
    for (var d = 0u; d < D; d++) { sum += router[row + d] * router_x[token + d]; }
  }
  out[i] = sum;
}
