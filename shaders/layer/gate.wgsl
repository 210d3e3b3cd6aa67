// What changes from one run of a standalone layer to the next; written by src/kernels/layer/step.ts.
struct Gate {
  capacity: u32,
  training: u32,
  seed: u32,
  step: u32,
  sequence: u32,           // tokens of one sequence
}
@group(0) @binding(9) var<uniform> u_gate: Gate;
