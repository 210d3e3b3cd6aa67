// mixer/delta_rule: the recurrence of a gated delta net, value by value of each head h:
//   s = g s;  d = (v[t,h,j] - s . k) * beta;  s = s + d k;  out[t,h,j] = s . q
//   g = exp(-exp(a_log[h]) softplus(a[t,h] + bias[h])),  beta = sigmoid(b[t,h]);  HEADS / KEY_HEADS neighbouring heads share q and k
//   s before position 0 is 0; a step reads one side of the state and writes the other.
// in   qk [T, 2 KEY_HEADS KEY_SIZE] f32: q heads, k heads, normed   v [T,V_ROW], gates [T,GATE_ROW] f32, from V_AT, B_AT and A_AT on
//      weights [a_log HEADS, bias HEADS] f32
// out  out [T,HEADS,VALUE_SIZE] f32   state [2,HEADS,VALUE_SIZE,KEY_SIZE] f32
// grid [ceil(HEADS VALUE_SIZE / 4) folded], workgroup 64: 4 values with 16 lanes, each with every 16th key; all tokens, one after the other
// num  f32: 16 partial sums in key order, added in lane order; same bits every run, and whatever the tokens of a step
// cost a lane keeps its part of s in registers; reads 2 KEY_SIZE + 3 words a value and token, one barrier a token
// twin src/reference/mixer/delta_rule.ts   entry src/kernels/mixer/delta_rule.ts
#import shared/step
#import shared/fold
#import shared/sigmoid
#import shared/softplus
override HEADS: u32;
override KEY_HEADS: u32;
override KEY_SIZE: u32;
override VALUE_SIZE: u32;
override V_ROW: u32;
override V_AT: u32;
override GATE_ROW: u32;
override B_AT: u32;
override A_AT: u32;

@group(0) @binding(0) var<storage, read> qk: array<f32>;
@group(0) @binding(1) var<storage, read> v: array<f32>;
@group(0) @binding(2) var<storage, read> gates: array<f32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> state: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

const WG: u32 = 64u;
const LANES: u32 = 16u;
const ROWS: u32 = WG / LANES;
const CHANNELS: u32 = HEADS * VALUE_SIZE;
const MINE: u32 = (KEY_SIZE + LANES - 1u) / LANES;
const QK_ROW: u32 = 2u * KEY_HEADS * KEY_SIZE;
/// s . k, s . q and k . q of a lane, of this token and, while others still read those, of the next.
var<workgroup> partial: array<vec3<f32>, 2u * WG>;

@compute @workgroup_size(WG)
fn delta_rule(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let i0 = lane % LANES;
  let row = lane / LANES;
  let wanted = folded(workgroup, workgroups) * ROWS + row;
  let is_channel = wanted < CHANNELS;
  let channel = min(wanted, CHANNELS - 1u);
  let h = channel / VALUE_SIZE;
  let from_q = (h / (HEADS / KEY_HEADS)) * KEY_SIZE;
  let from_k = from_q + KEY_HEADS * KEY_SIZE;
  let tokens = u_step.tokens;

  var s: array<f32, MINE>;
  if (u_step.position > 0u) {
    for (var i = 0u; i < MINE; i++) {
      let n = i0 + i * LANES;
      if (n < KEY_SIZE) { s[i] = state[(u_step.side * CHANNELS + channel) * KEY_SIZE + n]; }
    }
  }
  let rate = -exp(weights[h]);
  let bias = weights[HEADS + h];

  for (var t = 0u; t < tokens; t++) {
    let fade = exp(rate * softplus(gates[t * GATE_ROW + A_AT + h] + bias));
    var sums = vec3<f32>();
    for (var i = 0u; i < MINE; i++) {
      let n = i0 + i * LANES;
      if (n < KEY_SIZE) {
        let q = qk[t * QK_ROW + from_q + n];
        let k = qk[t * QK_ROW + from_k + n];
        s[i] *= fade;
        sums += vec3(s[i] * k, s[i] * q, k * q);
      }
    }
    let at = (t % 2u) * WG;
    partial[at + lane] = sums;
    workgroupBarrier();
    var all = vec3<f32>();
    for (var i = 0u; i < LANES; i++) { all += partial[at + row * LANES + i]; }
    let delta = (v[t * V_ROW + V_AT + channel] - all.x) * sigmoid(gates[t * GATE_ROW + B_AT + h]);
    for (var i = 0u; i < MINE; i++) {
      let n = i0 + i * LANES;
      if (n < KEY_SIZE) { s[i] += delta * qk[t * QK_ROW + from_k + n]; }
    }
    if (is_channel && i0 == 0u) { out[t * CHANNELS + channel] = all.y + delta * all.z; }
  }

  if (is_channel && tokens > 0u) {
    for (var i = 0u; i < MINE; i++) {
      let n = i0 + i * LANES;
      if (n < KEY_SIZE) { state[((1u - u_step.side) * CHANNELS + channel) * KEY_SIZE + n] = s[i]; }
    }
  }
}
