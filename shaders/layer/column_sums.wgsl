// layer/column_sums: sums[s,c] = sum over the tokens of sequence s of the shares (and, with noisy top-k, the load) of choice c
// in   gates [T,PLANES,G]: planes from the third on   u_gate
// out  sums [ceil(T / sequence),(PLANES - 2) G] f32
// grid [ceil(T / sequence) (PLANES - 2) G / 64], workgroup 64; one lane a sum
// num  f32, t ascending
// cost reads (PLANES - 2) G words a token
// twin src/reference/layer/losses.ts   entry src/kernels/layer/gate.ts
#import shared/step
#import shared/fold
#import layer/gate
override G: u32;
override PLANES: u32;

@group(0) @binding(0) var<storage, read> gates: array<f32>;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;

const COLUMNS: u32 = (PLANES - 2u) * G;

@compute @workgroup_size(64)
fn column_sums(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = folded(workgroup, workgroups) * 64u + lane;
  let first = (i / COLUMNS) * u_gate.sequence;
  if (first >= u_step.tokens) { return; }
  var sum = 0.0;
  for (var t = first; t < min(first + u_gate.sequence, u_step.tokens); t++) {
    sum += gates[(t * PLANES + 2u) * G + i % COLUMNS];
  }
  sums[i] = sum;
}
