// linear/glu_triples: values[r,f] = first * gate * sigmoid(gate) * up, where products[r] holds first [F], gate [F], up [F]
// in   products [R,3F] f32, from float AT of `values` on
// out  values [R,F] f32
// grid [F / 64 folded, R], workgroup 64; one lane a value
// num  f32
// cost reads 3 F, writes F words a row
// twin src/reference/linear/glu_triples.ts   entry src/kernels/linear/glu_triples.ts
#import shared/fold
#import shared/sigmoid
override F: u32;
override AT: u32;

@group(0) @binding(0) var<storage, read_write> values: array<f32>;

@compute @workgroup_size(64)
fn glu_triples(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let f = folded(workgroup, workgroups) * 64u + lane;
  if (f >= F) { return; }
  let row = workgroup.z;
  let first = AT + row * 3u * F + f;
  let gate = values[first + F];
  values[row * F + f] = values[first] * gate * sigmoid(gate) * values[first + 2u * F];
}
