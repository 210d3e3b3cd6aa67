// attention/convolve_heads: heads of q, k and v of compressed convolutional attention, from their projections
//   a channel c of q or k: d[t] = taps[c,0] x[t-1] + taps[c,1] x[t] + bias[c]; its head: g[t] = head_bias[c] + sum over i of w[c,i,0] d[t-1,i] + w[c,i,1] d[t,i]
//   q = g + (q + its k) / 2, k = g + (k + mean of its q) / 2; both made sqrt(SIZE) long, k times lengths[its head]
//   v: its first half as it is, its second half of the token before. What comes before position 0 is 0, but for biases.
//   Projections of tokens before this step are in `state`. The step reads one side of it and writes the other.
// in   x [T,(HEADS + 2 KV_HEADS) SIZE] f32: q, k, v   channels f32: taps [C,2], bias [C], head_bias [C], lengths [KV_HEADS], C channels of q and k
//      weights [C,SIZE,2] f32
// out  out as x   state [2, 2 C + KV_HEADS SIZE / 2] f32: q and k of the last two tokens, older first, then the second half of v of the last
// grid [T (HEADS + 2 KV_HEADS) folded], workgroup WG; one workgroup a head of a token
// num  f32 sums in channel order, squares by lane and then a tree; a length below 2^-23 counts as that; same bits every run
// cost reads 2 SIZE words of weights a value of q and k, writes a word a value
// twin src/reference/attention/convolve_heads.ts   entry src/kernels/attention/convolve_heads.ts
#import shared/step
#import shared/fold
#import shared/tree
override WG: u32;
override HEADS: u32;
override KV_HEADS: u32;
override SIZE: u32;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> channels: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read_write> state: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

const TRIPS: u32 = (SIZE + WG - 1u) / WG;
const GROUP: u32 = HEADS / KV_HEADS;
const UNITS: u32 = HEADS + 2u * KV_HEADS;
const ROW: u32 = UNITS * SIZE;
const C: u32 = (HEADS + KV_HEADS) * SIZE;
const HALF: u32 = KV_HEADS * SIZE / 2u;
/// Of one side.
const PAST: u32 = 2u * C + HALF;

var<workgroup> convolved: array<vec2<f32>, SIZE>;

/// x of channel c, `back` tokens before token t of this step: at most two.
fn input(t: u32, back: u32, c: u32) -> f32 {
  if (t >= back) { return x[(t - back) * ROW + c]; }
  if (u_step.position == 0u) { return 0.0; }
  return state[u_step.side * PAST + (2u + t - back) * C + c];
}

/// d of channel c, `back` tokens before token t.
fn of_channel(t: u32, back: u32, c: u32) -> f32 {
  return channels[2u * c] * input(t, back + 1u, c) + channels[2u * c + 1u] * input(t, back, c) + channels[2u * C + c];
}

/// What joins value j of a head of q or k.
fn mean(t: u32, head: u32, j: u32) -> f32 {
  let row = t * ROW + j;
  if (head < HEADS) { return 0.5 * (x[row + head * SIZE] + x[row + (HEADS + head / GROUP) * SIZE]); }
  var sum = 0.0;
  for (var i = 0u; i < GROUP; i++) { sum += x[row + ((head - HEADS) * GROUP + i) * SIZE]; }
  return 0.5 * (x[row + head * SIZE] + sum / f32(GROUP));
}

/// Value f of all heads of v.
fn write_value(t: u32, f: u32) {
  let at = C + f;
  if (f < HALF) {
    out[t * ROW + at] = x[t * ROW + at];
    return;
  }
  let kept = 2u * C + f - HALF;
  var before = 0.0;
  if (t > 0u) { before = x[(t - 1u) * ROW + at]; }
  else if (u_step.position > 0u) { before = state[u_step.side * PAST + kept]; }
  out[t * ROW + at] = before;
  if (t + 1u == u_step.tokens) { state[(1u - u_step.side) * PAST + kept] = x[t * ROW + at]; }
}

@compute @workgroup_size(WG)
fn convolve_heads(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let id = folded(workgroup, workgroups);
  let t = id / UNITS;
  let head = id % UNITS;
  if (t >= u_step.tokens) { return; }
  if (head >= HEADS + KV_HEADS) {
    for (var j = lane; j < SIZE; j += WG) { write_value(t, (head - HEADS - KV_HEADS) * SIZE + j); }
    return;
  }
  for (var j = lane; j < SIZE; j += WG) {
    let c = head * SIZE + j;
    convolved[j] = vec2<f32>(of_channel(t, 1u, c), of_channel(t, 0u, c));
  }
  workgroupBarrier();
  var own: array<f32, TRIPS>;
  var squares = 0.0;
  for (var i = 0u; i < TRIPS; i++) {
    let j = i * WG + lane;
    if (j < SIZE) {
      let c = head * SIZE + j;
      var sum = channels[3u * C + c];
      for (var k = 0u; k < SIZE; k++) { sum += dot(weights[c * SIZE + k], convolved[k]); }
      own[i] = sum + mean(t, head, j);
      squares += own[i] * own[i];
    }
  }
  var scale = sqrt(f32(SIZE)) / max(sqrt(tree_sum(lane, squares)), 0x1p-23f);
  if (head >= HEADS) { scale *= channels[4u * C + head - HEADS]; }
  for (var i = 0u; i < TRIPS; i++) {
    let j = i * WG + lane;
    if (j < SIZE) {
      let c = head * SIZE + j;
      out[t * ROW + c] = own[i] * scale;
      if (t + 1u == u_step.tokens) {
        let kept = (1u - u_step.side) * PAST + c;
        state[kept] = input(t, 1u, c);
        state[kept + C] = input(t, 0u, c);
      }
    }
  }
}
