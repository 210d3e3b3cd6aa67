// mixer/selective_scan: the recurrence of Mamba: out[t,c] = (sum over n of s[c,n] C[t,n] + D[h] x[t,c]) * silu(z[t,c])
//   s[c,n] = exp(dt a) s[c,n] + dt x[t,c] B[t,n],  dt = clamp(softplus(steps[t,h] + bias[h]), STEP_MIN, STEP_MAX),  a = -exp(a_log)
//   Channel c belongs to head h = c / HEAD_SIZE, a head to one of GROUPS with a B and a C of its own. a_log is one value a head, or with
//   A_BY_STATE one a channel and state (Mamba-1, where a head is one channel).
//   s before position 0 is 0; a step reads one side of the state and writes the other.
// in   x [T,X_ROW], z [T,Z_ROW], steps [T,STEP_ROW], b [T,B_ROW], c [T,C_ROW] f32, each from its .._AT on   weights [bias H, D H, a_log] f32
// out  out [T,CHANNELS] f32   state [2,CHANNELS,STATES] f32
// grid [ceil(CHANNELS / 4)], workgroup 64: 4 channels with 16 lanes, each with every 16th state; all tokens, one after the other
// num  f32: 16 partial sums of a token in n order, added in lane order; same bits every run, and whatever the tokens of a step
// cost a lane keeps its states in registers; reads 2 STATES + 4 words a channel and token, two barriers for 16 tokens
// twin src/reference/mixer/selective_scan.ts   entry src/kernels/mixer/selective_scan.ts
#import shared/step
#import shared/fold
#import shared/sigmoid
#import shared/softplus
override CHANNELS: u32;
override HEAD_SIZE: u32;
override GROUPS: u32;
override STATES: u32;
override X_ROW: u32;
override X_AT: u32;
override Z_ROW: u32;
override Z_AT: u32;
override STEP_ROW: u32;
override STEP_AT: u32;
override B_ROW: u32;
override B_AT: u32;
override C_ROW: u32;
override C_AT: u32;
override STEP_MIN: f32;
override STEP_MAX: f32;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> z: array<f32>;
@group(0) @binding(2) var<storage, read> steps: array<f32>;
@group(0) @binding(3) var<storage, read> b: array<f32>;
@group(0) @binding(4) var<storage, read> c: array<f32>;
@group(0) @binding(5) var<storage, read> weights: array<f32>;
@group(0) @binding(6) var<storage, read_write> state: array<f32>;
@group(0) @binding(7) var<storage, read_write> out: array<f32>;

const WG: u32 = 64u;
const LANES: u32 = 16u;
const ROWS: u32 = WG / LANES;
const BLOCK: u32 = WG / ROWS; // tokens whose sums are added together
const HEADS: u32 = CHANNELS / HEAD_SIZE;
const HEADS_OF_GROUP: u32 = HEADS / GROUPS;
const MINE: u32 = (STATES + LANES - 1u) / LANES;
var<workgroup> partial: array<f32, BLOCK * WG>;

fn step_of(t: u32, h: u32) -> f32 {
  return clamp(softplus(steps[t * STEP_ROW + STEP_AT + h] + weights[h]), STEP_MIN, STEP_MAX);
}

@compute @workgroup_size(WG)
fn selective_scan(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = folded(workgroup, workgroups) * ROWS;
  let n0 = lane % LANES;
  let channel = first + lane / LANES;
  let is_channel = channel < CHANNELS;
  let h = min(channel, CHANNELS - 1u) / HEAD_SIZE;
  let from_group = (h / HEADS_OF_GROUP) * STATES;
  let tokens = u_step.tokens;

  var s: array<f32, MINE>;
  var a: array<f32, MINE>;
  for (var i = 0u; i < MINE; i++) {
    let n = n0 + i * LANES;
    if (is_channel && n < STATES) {
#if A_BY_STATE
      a[i] = -exp(weights[2u * HEADS + channel * STATES + n]);
#else
      a[i] = -exp(weights[2u * HEADS + h]);
#endif
      if (u_step.position > 0u) { s[i] = state[(u_step.side * CHANNELS + channel) * STATES + n]; }
    }
  }

  for (var begin = 0u; begin < tokens; begin += BLOCK) {
    for (var j = 0u; j < BLOCK; j++) {
      let t = begin + j;
      var sum = 0.0;
      if (is_channel && t < tokens) {
        let dt = step_of(t, h);
        let input = dt * x[t * X_ROW + X_AT + channel];
        for (var i = 0u; i < MINE; i++) {
          let n = n0 + i * LANES;
          if (n < STATES) {
            s[i] = exp(dt * a[i]) * s[i] + input * b[t * B_ROW + B_AT + from_group + n];
            sum += s[i] * c[t * C_ROW + C_AT + from_group + n];
          }
        }
      }
      partial[j * WG + lane] = sum;
    }
    workgroupBarrier();
    // Now a lane is a token of the block and one of the channels.
    let t = begin + lane / ROWS;
    let row = lane % ROWS;
    let own = first + row;
    if (t < tokens && own < CHANNELS) {
      var y = 0.0;
      for (var i = 0u; i < LANES; i++) { y += partial[(lane / ROWS) * WG + row * LANES + i]; }
      y += weights[HEADS + own / HEAD_SIZE] * x[t * X_ROW + X_AT + own];
      let gate = z[t * Z_ROW + Z_AT + own];
      out[t * CHANNELS + own] = y * gate * sigmoid(gate);
    }
    workgroupBarrier();
  }

  if (is_channel && tokens > 0u) {
    for (var i = 0u; i < MINE; i++) {
      let n = n0 + i * LANES;
      if (n < STATES) { state[((1u - u_step.side) * CHANNELS + channel) * STATES + n] = s[i]; }
    }
  }
}
