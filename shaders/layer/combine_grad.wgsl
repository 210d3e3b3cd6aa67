// layer/combine_grad: dots[t,k] = dout[t] . y[row of the pair], or dout[t] . x[t] for an identity; 0 where there is no expert
// in   dout [T,D]   y [P,D]   x [T,D]   row_of_pair [P]   routed [T,2 ALL]: see layer/weigh
// out  dots [T,ALL] f32: the gradient of each pair's weight
// grid [T ALL / 64], workgroup 64; one lane a pair
// num  f32, d ascending
// cost reads 2 D words a pair
// twin src/reference/layer/backward.ts   entry src/kernels/layer/backward.ts
#import shared/step
#import shared/fold
override D: u32;
override ALL: u32;
override X: u32;

@group(0) @binding(0) var<storage, read> dout: array<f32>;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> row_of_pair: array<u32>;
@group(0) @binding(4) var<storage, read> routed: array<u32>;
@group(0) @binding(5) var<storage, read_write> dots: array<f32>;

@compute @workgroup_size(64)
fn combine_grad(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let pair = folded(workgroup, workgroups) * 64u + lane;
  if (pair >= u_step.tokens * ALL) { return; }
  let t = pair / ALL;
  let id = routed[2u * t * ALL + pair % ALL];
  var sum = 0.0;
  if (id < X) {
    let row = row_of_pair[pair];
    for (var d = 0u; d < D; d++) { sum += dout[t * D + d] * y[row * D + d]; }
  }
  if (id == X + 1u) {
    for (var d = 0u; d < D; d++) { sum += dout[t * D + d] * x[t * D + d]; }
  }
  dots[pair] = sum;
}
