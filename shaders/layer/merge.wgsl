// layer/merge: out[t,d] = sum over a token's pairs of weight * (y[row,d], or x[t,d] for an identity)
// in   y [P,D] f32, in row order   x [T,D] f32   row_of_pair [P]   routed [T,2 ALL]: see layer/weigh
// out  out [T,D] f32
// grid [D / 64, T], workgroup 64; one lane a value
// num  f32, pairs ascending; rows of dropped pairs are not read
// cost reads ALL D, writes D words a token
// twin src/reference/layer/merge.ts   entry src/kernels/layer/merge.ts
override D: u32;
override ALL: u32;
override X: u32;

@group(0) @binding(0) var<storage, read> y: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> row_of_pair: array<u32>;
@group(0) @binding(3) var<storage, read> routed: array<u32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn merge(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let t = workgroup.y;
  let d = workgroup.x * 64u + lane;
  if (d >= D) { return; }
  var sum = 0.0;
  for (var k = 0u; k < ALL; k++) {
    let id = routed[2u * t * ALL + k];
    let weight = bitcast<f32>(routed[(2u * t + 1u) * ALL + k]);
    if (id < X) { sum += weight * y[row_of_pair[t * ALL + k] * D + d]; }
    if (id == X + 1u) { sum += weight * x[t * D + d]; }
  }
  out[t * D + d] = sum;
}
