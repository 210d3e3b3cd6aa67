// mixer/causal_conv: y[t,c] = sum over j of taps[c,j] * u[t - TAPS + 1 + j, c] (+ bias[c]): a convolution over time, each channel by itself
//   u = x, or with GATED u = b * x and out = c * y (LFM2); with SILU out = silu(y) (Mamba, gated delta net)
//   u of tokens before this step is in `state`, of tokens before position 0 it is 0. The step reads one side of the state and writes the other.
// in   x [T,ROW] f32: x from X_AT, b from B_AT, c from C_AT   taps [CHANNELS,TAPS] f32   bias [CHANNELS] f32
// out  out [T,CHANNELS] f32   state [2,TAPS - 1,CHANNELS] f32: u of the last TAPS - 1 tokens
// grid [T ceil(CHANNELS / 64) folded], workgroup 64; one lane a channel of a token
// num  f32 sums in j order; same bits every run
// cost reads TAPS (2 TAPS + 1 when gated) and writes 1 word a value
// twin src/reference/mixer/causal_conv.ts   entry src/kernels/mixer/causal_conv.ts
#import shared/step
#import shared/fold
#import shared/sigmoid
override ROW: u32;
override X_AT: u32;
override CHANNELS: u32;
override TAPS: u32;
#if GATED
override B_AT: u32;
override C_AT: u32;
#endif

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> taps: array<f32>;
@group(0) @binding(2) var<storage, read_write> state: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
#if BIAS
@group(0) @binding(4) var<storage, read> bias: array<f32>;
#endif

const WG: u32 = 64u;
const BLOCKS: u32 = (CHANNELS + WG - 1u) / WG;
const PAST: u32 = TAPS - 1u;

/// u of the token that is `at - PAST` after the first of this step.
fn input(at: u32, c: u32) -> f32 {
  if (at < PAST) {
    if (u_step.position == 0u) { return 0.0; }
    return state[(u_step.side * PAST + at) * CHANNELS + c];
  }
  let from_x = (at - PAST) * ROW;
#if GATED
  return x[from_x + B_AT + c] * x[from_x + X_AT + c];
#else
  return x[from_x + X_AT + c];
#endif
}

@compute @workgroup_size(WG)
fn causal_conv(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let id = folded(workgroup, workgroups);
  let t = id / BLOCKS;
  let c = (id % BLOCKS) * WG + lane;
  if (t >= u_step.tokens || c >= CHANNELS) { return; }
#if BIAS
  var y = bias[c];
#else
  var y = 0.0;
#endif
  for (var j = 0u; j < TAPS; j++) { y += taps[c * TAPS + j] * input(t + j, c); }
#if GATED
  y *= x[t * ROW + C_AT + c];
#endif
#if SILU
  y *= sigmoid(y);
#endif
  out[t * CHANNELS + c] = y;
  if (t + 1u == u_step.tokens) {
    for (var j = 0u; j < PAST; j++) {
      state[((1u - u_step.side) * PAST + j) * CHANNELS + c] = input(t + 1u + j, c);
    }
  }
}
