// attention/spread_heads: out[t,e,j,a] = weight of expert e * attended[t, j TOP_K + its place, a], 0 for experts that were not chosen
// in   attended [T,GROUP TOP_K,SIZE] f32   chosen u32 [T,2 TOP_K]: see attention/pick_heads
// out  out [T,EXPERTS,GROUP,SIZE] f32
// grid [EXPERTS GROUP SIZE / 64 folded, T], workgroup 64; one lane a value
// num  one f32 product
// cost writes EXPERTS GROUP SIZE words a token, reads TOP_K / EXPERTS as many
// twin src/reference/attention/pick_heads.ts   entry src/kernels/attention/pick_heads.ts
#import shared/fold
override EXPERTS: u32;
override TOP_K: u32;
override GROUP: u32;
override SIZE: u32;

@group(0) @binding(0) var<storage, read> attended: array<f32>;
@group(0) @binding(1) var<storage, read> chosen: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

const ROW: u32 = EXPERTS * GROUP * SIZE;

@compute @workgroup_size(64)
fn spread_heads(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let d = folded(workgroup, workgroups) * 64u + lane;
  let t = workgroup.z;
  if (d >= ROW) { return; }
  let e = d / (GROUP * SIZE);
  let head = d / SIZE % GROUP;
  var value = 0.0;
  for (var k = 0u; k < TOP_K; k++) {
    if (chosen[t * 2u * TOP_K + k] == e) {
      let weight = bitcast<f32>(chosen[t * 2u * TOP_K + TOP_K + k]);
      value = weight * attended[(t * GROUP * TOP_K + head * TOP_K + k) * SIZE + d % SIZE];
    }
  }
  out[t * ROW + d] = value;
}
