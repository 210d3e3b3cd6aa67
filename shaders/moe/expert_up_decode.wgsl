// moe/expert_up_decode: act[p,f] = activate(gate_f . x[t] + bias, up_f . x[t] + bias) by the expert of pair p = t TOP_K + k
// in   arena (values, scales)   slot_table [E]   x [T,D] f32   routed [T,2 TOP_K] u32: ids, then weights
// out  act [P,F] f32, in pair order; zero where the expert's slot is missing
// grid [F / (64 / PARTS), P], workgroup 64; PARTS lanes share the two rows of one f
// num  f32 sums: each part over its chunks in order, then the parts in order
// cost reads the chosen experts' gate_up once a pair, x once for every 64 / PARTS f
// twin src/reference/moe/expert_up.ts   entry src/kernels/moe/expert_up.ts
#import shared/activation
#import moe/expert
#import shared/dot32
override F: u32;
override TOP_K: u32;
override PARTS: u32;

@group(0) @binding(4) var<storage, read> routed: array<u32>;
@group(0) @binding(5) var<storage, read_write> act: array<f32>;

const WIDTH: u32 = WG / PARTS;
const TRIPS: u32 = (W_CHUNKS + PARTS - 1u) / PARTS;

var<workgroup> parts: array<vec2<f32>, WG>;

@compute @workgroup_size(WG)
fn expert_up_decode(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let pair = workgroup.y;
  let t = pair / TOP_K;
  let slot = slot_table[routed[t * 2u * TOP_K + pair % TOP_K]];
  let first_f = workgroup.x * WIDTH;
  let written = lane < WIDTH && first_f + lane < F;
  if (slot == MISSING) {
    if (written) { act[pair * F + first_f + lane] = 0.0; }
    return;
  }
  let matrix = slot_matrix(slot);
  let row = 2u * min(first_f + lane / PARTS, F - 1u);
  var sums = vec2<f32>();
  for (var i = 0u; i < TRIPS; i++) {
    let chunk = i * PARTS + lane % PARTS;
    if (chunk < W_CHUNKS) {
      let x32 = x_chunk(t, chunk);
      let gate = weight_scale(matrix, row, chunk) * dot32(unscaled32(matrix, row, chunk), x32);
      let up = weight_scale(matrix, row + 1u, chunk) * dot32(unscaled32(matrix, row + 1u, chunk), x32);
      sums += vec2<f32>(gate, up);
    }
  }
  parts[lane] = sums;
  workgroupBarrier();
  if (written) {
    let f = first_f + lane;
    var sum = vec2<f32>(slot_bias(slot, 2u * f), slot_bias(slot, 2u * f + 1u));
    for (var part = 0u; part < PARTS; part++) { sum += parts[lane * PARTS + part]; }
    act[pair * F + f] = activate(sum.x, sum.y);
  }
}
