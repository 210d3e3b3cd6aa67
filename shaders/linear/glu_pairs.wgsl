// linear/glu_pairs: out[t,f] = activate(pairs[t,2f], pairs[t,2f+1])
// in   pairs [T,2F] f32
// out  out [T,F] f32; [T,2F] where each product gives a value: see shared/activation
// grid [F / 64 folded, T], workgroup 64; one lane a value
// num  f32
// cost reads 2 F, writes F words a token
// twin src/reference/linear/glu_pairs.ts   entry src/kernels/linear/glu_pairs.ts
#import shared/fold
#import shared/activation
override F: u32;

@group(0) @binding(0) var<storage, read> pairs: array<vec2<f32>>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn glu_pairs(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let f = folded(workgroup, workgroups) * 64u + lane;
  let t = workgroup.z;
  if (f >= F) { return; }
  let pair = pairs[t * F + f];
  for (var v = 0u; v < PAIR_VALUES; v++) { out[(t * PAIR_VALUES + v) * F + f] = activate(v, pair.x, pair.y); }
}
