// moe/drop_late: the weight of a token becomes 0 when CAPACITY tokens before it in the step chose the same expert
// in   routed [T,2] u32: id, then weight, of the one expert that a token is sent to
// out  routed, its weights
// grid [T / 64], workgroup 64; one lane a token
// num  integers
// cost reads the ids of all tokens before a token
// twin src/reference/moe/drop_late.ts   entry src/kernels/moe/drop_late.ts
#import shared/step
override CAPACITY: u32;

@group(0) @binding(0) var<storage, read_write> routed: array<u32>;

@compute @workgroup_size(64)
fn drop_late(@builtin(global_invocation_id) id: vec3<u32>) {
  let t = id.x;
  if (t >= u_step.tokens) { return; }
  let expert = routed[2u * t];
  var before = 0u;
  for (var i = 0u; i < t; i++) { before += select(0u, 1u, routed[2u * i] == expert); }
  if (before >= CAPACITY) { routed[2u * t + 1u] = 0u; }
}
