// layer/expert_grad: gradient of one matrix of every expert: sum over its rows of (left of the row) x (right of the row)
// in   counts [X + 2]   pair_of_row [P]   routed [T,2 ALL]   gate_up: left dpre [P,2F], right x [T,D]; down: left dout [T,D] times weight, right act [P,F]
// out  grads f32, laid out as the arena; padding is left as it is
// grid [X N COLS / 64], workgroup 64; one lane a weight
// num  f32, rows ascending
// cost reads 2 words a row of the expert
// twin src/reference/layer/backward.ts   entry src/kernels/layer/backward.ts
#import shared/fold
override ALL: u32;
override X: u32;
override N: u32;
override COLS: u32;
override EXPERT_WORDS: u32;
override MATRIX_AT: u32;
override MATRIX_ROW: u32;

@group(0) @binding(0) var<storage, read> left: array<f32>;
@group(0) @binding(1) var<storage, read> right: array<f32>;
@group(0) @binding(2) var<storage, read> counts: array<u32>;
@group(0) @binding(3) var<storage, read> pair_of_row: array<u32>;
@group(0) @binding(4) var<storage, read> routed: array<u32>;
@group(0) @binding(5) var<storage, read_write> grads: array<f32>;

@compute @workgroup_size(64)
fn expert_grad(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = folded(workgroup, workgroups) * 64u + lane;
  let expert = i / (N * COLS);
  if (expert >= X) { return; }
  let n = (i / COLS) % N;
  let column = i % COLS;
  var row = 0u;
  for (var e = 0u; e < expert; e++) { row += counts[e]; }
  let end = row + counts[expert];
  var sum = 0.0;
  for (; row < end; row++) {
    let pair = pair_of_row[row];
    let t = pair / ALL;
#if DOWN
    let weight = bitcast<f32>(routed[(2u * t + 1u) * ALL + pair % ALL]);
    sum += weight * left[t * N + n] * right[row * COLS + column];
#else
    sum += left[row * N + n] * right[t * COLS + column];
#endif
  }
  grads[expert * EXPERT_WORDS + MATRIX_AT + n * MATRIX_ROW + column] = sum;
}
