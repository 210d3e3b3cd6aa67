// moe/weigh_rows: out[t,d] = weight[t] * x[t,d], by the weight of the one expert that a token is sent to
// in   x [T,D] f32   routed [T,2] u32: id, then weight
// out  out [T,D] f32
// grid [D / 64, T], workgroup 64; one lane a value
// num  one product
// cost reads D + 1, writes D words a token
// twin src/reference/moe/weigh_rows.ts   entry src/kernels/moe/weigh_rows.ts
override D: u32;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> routed: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn weigh_rows(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let t = workgroup.y;
  let d = workgroup.x * 64u + lane;
  if (d >= D) { return; }
  out[t * D + d] = bitcast<f32>(routed[2u * t + 1u]) * x[t * D + d];
}
