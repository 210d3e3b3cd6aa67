// norm/gain_add: out[t,d] = gains[d] * added[t,d] + gains[D + d] * x[t,d] + gains[2 D + d]
// in   added [T,D] f32   x [T,D] f32   gains [3 D] f32
// out  out [T,D] f32
// grid [ceil(D / 64), T], workgroup 64; one lane a value
// num  f32: two products and two sums, in that order
// cost reads 2 D + 3 D, writes D words a token
// twin src/reference/norm/gain_add.ts   entry src/kernels/norm/gain_add.ts
override D: u32;

@group(0) @binding(0) var<storage, read> added: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> gains: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn gain_add(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let d = workgroup.x * 64u + lane;
  if (d >= D) { return; }
  let at = workgroup.y * D + d;
  out[at] = gains[d] * added[at] + gains[D + d] * x[at] + gains[2u * D + d];
}
