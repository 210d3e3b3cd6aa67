// layer/choose: the K choices of each token by descending key; ties go to the lower id
// in   gates [T,PLANES,G]: see layer/scores   logits [T,M] (noisy top-k)   bias [G] f32   token_ids [T] (hash)   u_gate
// out  chosen [T,K] u32: ids; bit 31: not used, though it takes its place (GShard)   priority [T,K] f32: who is kept where experts are full
//      keys [T,G] f32 (scratch)   gates' fourth plane: Shazeer's load   facts[t,2]: the id behind the K-th
// grid [T / 64], workgroup 64; one lane a token
// num  f32; keys are s + bias, H + Gumbel noise, or uniform draws
// cost (K + 2) passes over G keys of a token
// twin src/reference/layer/gate.ts   entry src/kernels/layer/gate.ts
#import shared/step
#import shared/fold
#import layer/philox
#if NOISY
#import layer/logarithms
#import layer/normal
override M: u32;
#endif
override G: u32;
override K: u32;
override PLANES: u32;

@group(0) @binding(0) var<storage, read_write> gates: array<f32>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read_write> chosen: array<u32>;
@group(0) @binding(3) var<storage, read_write> priority: array<f32>;
@group(0) @binding(4) var<storage, read_write> keys: array<f32>;
#if NOISY
@group(0) @binding(5) var<storage, read> logits: array<f32>;
@group(0) @binding(6) var<storage, read_write> facts: array<f32>;
#endif
#if HASH
@group(0) @binding(7) var<storage, read> token_ids: array<u32>;
#endif

const LOWEST: f32 = -0x1p127;
const UNUSED: u32 = 0x80000000u;

fn key_of(t: u32, e: u32) -> f32 {
#if HASH
  // Of the token alone: the same in every step.
  return unit(philox(vec4<u32>(token_ids[t], e, DRAW_HASH, 0u), u_gate.seed).x);
#endif
#if RANDOM
  return unit(draw(DRAW_RANDOM, t, e).x);
#endif
#if SCORES
  let at = t * PLANES * G + e;
#if GUMBEL
  if (u_gate.training != 0u) { return gates[at] + gumbel(t, e) + bias[e]; }
#endif
  return gates[at + G] + bias[e];
#endif
}

/// The best behind (last_key, last); G when there is none.
fn next_best(t: u32, last_key: f32, last: u32) -> u32 {
  var best = G;
  for (var e = 0u; e < G; e++) {
    let key = keys[t * G + e];
    let behind = key < last_key || (key == last_key && e > last);
    if (behind && (best == G || key > keys[t * G + best])) { best = e; }
  }
  return best;
}

#if GROUPS
override GROUP_COUNT: u32;
override GROUP_KEEP: u32;
const GROUP: u32 = G / GROUP_COUNT;

fn rank_of(t: u32, group: u32) -> f32 {
  var first = LOWEST;
  var second = LOWEST;
  for (var i = 0u; i < GROUP; i++) {
    let key = keys[t * G + group * GROUP + i];
    if (key > first) {
      second = first;
      first = key;
    } else { second = max(second, key); }
  }
#if GROUP_TOP2
  return first + second;
#else
  return first;
#endif
}

fn keep_groups(t: u32) {
  var ranks: array<f32, GROUP_COUNT>;
  for (var g = 0u; g < GROUP_COUNT; g++) { ranks[g] = rank_of(t, g); }
  for (var g = 0u; g < GROUP_COUNT; g++) {
    var better = 0u;
    for (var h = 0u; h < GROUP_COUNT; h++) {
      if (ranks[h] > ranks[g] || (ranks[h] == ranks[g] && h < g)) { better++; }
    }
    if (better < GROUP_KEEP) { continue; }
    for (var i = 0u; i < GROUP; i++) { keys[t * G + g * GROUP + i] = LOWEST; }
  }
}
#endif

fn priority_of(t: u32, k: u32, id: u32) -> f32 {
#if BY_SCORE
  return gates[(t * PLANES + 1u) * G + id];
#else
#if BY_LOT
  if (u_gate.training != 0u) { return unit(draw(DRAW_LOT, t, k).x); }
#endif
  return 0.0;
#endif
}

#if NOISY
/// Of each choice, how likely it would be taken under another draw of its own noise.
fn write_load(t: u32, kth: u32, behind: u32) {
  let at = t * PLANES * G;
  facts[3u * t + 2u] = f32(behind);
  for (var e = 0u; e < G; e++) {
    var taken = false;
    for (var k = 0u; k < K; k++) { taken = taken || chosen[t * K + k] == e; }
    let threshold = gates[at + select(kth, behind, taken)];
    let a = (logits[t * M + e] - threshold) / softplus(logits[t * M + G + e]);
    gates[at + 3u * G + e] = normal_below(a);
  }
}
#endif

@compute @workgroup_size(64)
fn choose(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let t = folded(workgroup, workgroups) * 64u + lane;
  if (t >= u_step.tokens) { return; }
#if ALL
  for (var e = 0u; e < G; e++) {
    chosen[t * K + e] = e;
    priority[t * K + e] = priority_of(t, e, e);
  }
#else
  for (var e = 0u; e < G; e++) { keys[t * G + e] = key_of(t, e); }
#if GROUPS
  keep_groups(t);
#endif
  var last = 0u;
  var last_key = 0x1p127;
  for (var k = 0u; k < K; k++) {
#if SECOND_SAMPLED
    if (k == 1u && u_gate.training != 0u) {
      for (var e = 0u; e < G; e++) {
        keys[t * G + e] = select(gates[t * PLANES * G + e] + gumbel(t, e), LOWEST, e == last);
      }
      last_key = 0x1p127;
    }
#endif
    last = next_best(t, last_key, last);
    last_key = keys[t * G + last];
    chosen[t * K + k] = last;
    priority[t * K + k] = priority_of(t, k, last);
  }
#if NOISY
  if (u_gate.training != 0u) { write_load(t, last, next_best(t, last_key, last)); }
#endif
#if SECOND_RANDOM
  if (u_gate.training != 0u) {
    let at = (t * PLANES + 1u) * G;
    let second = gates[at + chosen[t * K + 1u]];
    let share = second / (gates[at + chosen[t * K]] + second);
    if (2.0 * share <= unit(draw(DRAW_SECOND, t, 0u).x)) { chosen[t * K + 1u] |= UNUSED; }
  }
#endif
#endif
}
