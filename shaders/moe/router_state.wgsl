// moe/router_state: what a router that carries a state maps to logits
//   s = down + bias, but for the first MoE layer + gains_before * the s of the one before; h = s / rms(s) * gamma; twice h = gelu(w^T h + b), gelu by erf
// in   down [T,R] f32   vectors f32: bias [R], gains_before [R], gamma [R]; w [R,R] by input, b [R]; the same of the second
// out  states f32: s [T,R] from OWN_AT on, of the layer before [T,R] from 0 on, which may be the same place   out [T,R] f32: h
// grid [T folded], workgroup WG; one workgroup a token
// num  f32 sums in order of inputs, squares by lane and then a tree; erf to 1.5e-7
// cost reads 2 R^2 + 7 R, writes 2 R words a token
// twin src/reference/moe/router_state.ts   entry src/kernels/moe/router_state.ts
#import shared/step
#import shared/fold
#import shared/tree
#import shared/gelu
override WG: u32;
override R: u32;
override EPS: f32;
override OWN_AT: u32;

@group(0) @binding(0) var<storage, read> down: array<f32>;
@group(0) @binding(1) var<storage, read> vectors: array<f32>;
@group(0) @binding(2) var<storage, read_write> states: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

const TRIPS: u32 = (R + WG - 1u) / WG;
const FIRST_AT: u32 = 3u * R;
const SECOND_AT: u32 = 4u * R + R * R;

var<workgroup> h: array<f32, R>;

/// h = gelu(w^T h + b), all lanes together.
fn layer(at: u32, lane: u32) {
  var own: array<f32, TRIPS>;
  for (var i = 0u; i < TRIPS; i++) {
    let r = i * WG + lane;
    if (r < R) {
      var sum = vectors[at + R * R + r];
      for (var k = 0u; k < R; k++) { sum += vectors[at + k * R + r] * h[k]; }
      own[i] = gelu(sum);
    }
  }
  workgroupBarrier();
  for (var i = 0u; i < TRIPS; i++) {
    let r = i * WG + lane;
    if (r < R) { h[r] = own[i]; }
  }
  workgroupBarrier();
}

@compute @workgroup_size(WG)
fn router_state(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let t = folded(workgroup, workgroups);
  if (t >= u_step.tokens) { return; }
  var squares = 0.0;
  for (var r = lane; r < R; r += WG) {
    var s = down[t * R + r] + vectors[r];
#if BEFORE
    s += vectors[R + r] * states[t * R + r];
#endif
    states[OWN_AT + t * R + r] = s;
    h[r] = s;
    squares += s * s;
  }
  let scale = inverseSqrt(tree_sum(lane, squares) / f32(R) + EPS);
  for (var r = lane; r < R; r += WG) { h[r] *= scale * vectors[2u * R + r]; }
  workgroupBarrier();
  layer(FIRST_AT, lane);
  layer(SECOND_AT, lane);
  for (var r = lane; r < R; r += WG) { out[t * R + r] = h[r]; }
}
