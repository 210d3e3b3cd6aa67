// moe/route: normed = rms_norm(x), or with CENTERED its layer norm, without NORM x; logits = router . normed (+ logit_bias); score; the TOP_K best keys; their weights; optionally sigmoid(shared_gate . normed)
//              with PREDICT also the PREDICTED best keys of the next MoE layer's router, as if x were its input
//              with APPROXIMATE changed as the step says: see src/kernels/moe/route.ts
//              with INTERVENE changed as the layer's intervention says: see src/kernels/moe/intervention.ts; with LOGITS also the logits
//              with ROUTER_GAINS the router reads x / rms(x) * router_gains in place of normed, with EARLY the row of `early` (to predict, x); with EXPERT_SCALE weights are multiplied by expert_scale
// in   x [T,D] f32   early [T,D] f32   router block (src/kernels/moe/router_block.ts): router [E,D] (values, scales), then in vectors with NORM gamma [D] (with NORM_BIAS beta [D]), logit_bias [E],
//      selection_bias [E], shared_gate [D], router_gains [D], expert_scale [E] f32; with PREDICT the next layer's block behind it   slot_table [E] u32
//      interventions: this layer's, with PREDICT the next layer's behind it
// out  normed [T,D] f32   routed u32 [T,2 TOP_K]: ids by descending key, then the bits of their f32 weights; with PREDICT then [T,PREDICTED] ids;
//      with LOGITS then the bits of the f32 logits [T,E]   shared_weight [T] f32
// grid [T folded, z], workgroup WG; one workgroup a token; with PREDICT a second one, z = 1, beside it
// num  f32 sums, each in a fixed order; ties go to the lower id; a NaN key still ranks somewhere, so ids are always TOP_K distinct experts
//      (but for dropped pairs); with APPROXIMATE and the step's defaults, or INTERVENE and an empty intervention, every bit is as without
// cost reads 3 D words and the router (once a token), writes D + 2 TOP_K words a token; PREDICT reads the same again and writes PREDICTED;
//      LOGITS writes E more
// twin src/reference/moe/route.ts   entry src/kernels/moe/route.ts
#import shared/step
#import shared/fold
#import shared/sigmoid
#import shared/dot32
#import weight_format
override WG: u32;
override D: u32;
override E: u32;
override TOP_K: u32;
override EPS: f32;
/// From one router block to the next; offsets of the vectors are in words from a block's start.
override ROUTER_VEC4: u32;
#if NORM
override GAMMA_AT: u32;
#endif
#if LOGIT_BIAS
override LOGIT_BIAS_AT: u32;
#endif
#if SELECTION_BIAS
override SELECTION_BIAS_AT: u32;
#endif
#if SHARED_GATE
override SHARED_GATE_AT: u32;
#endif
#if ROUTER_GAINS
override ROUTER_GAINS_AT: u32;
#endif
#if EXPERT_SCALE
override EXPERT_SCALE_AT: u32;
#endif
/// D goes through workgroup memory in BLOCKS blocks of BLOCK_CHUNKS chunks of 32 values.
override BLOCKS: u32;
override BLOCK_CHUNKS: u32;
override SCALE: f32;
#if RENORMALIZE
override RENORMALIZE_EPS: f32;
#endif
#if RENORMALIZE_LEAST
override LEAST_SUM: f32;
#endif
#if SCORE_SPARSE_MIXER
override TOLERANCE: f32;
#endif
#if GROUPS
override GROUP_COUNT: u32;
override GROUP_KEEP: u32;
#endif

@group(0) @binding(0) var<storage, read> values: array<vec4<u32>>;
#if SCALED
@group(0) @binding(1) var<storage, read> scales: array<u32>;
fn scale_word(at: u32) -> u32 { return scales[at]; }
#endif
@group(0) @binding(2) var<storage, read> vectors: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read_write> normed: array<f32>;
@group(0) @binding(5) var<storage, read_write> routed: array<u32>;
#if SHARED_GATE
@group(0) @binding(6) var<storage, read_write> shared_weight: array<f32>;
#endif
#if APPROXIMATE
@group(0) @binding(7) var<storage, read> slot_table: array<u32>;
const MISSING: u32 = 0xffffffffu;
#endif
#if EARLY
@group(0) @binding(9) var<storage, read> early: array<f32>;
#endif
#if INTERVENE
/// From one layer's intervention to the next: (experts a token uses, forced experts, 0, 0), then the rules [E] of its
/// experts; all zero: nothing is changed.
override INTERVENTION_VEC4: u32;
@group(0) @binding(8) var<uniform> interventions: array<vec4<u32>, ROUTERS * INTERVENTION_VEC4>;
/// Rules; any other is the bits of an f32 that is added to the expert's key.
const MASKED: u32 = 0xff800000u;
const FORCED: u32 = 0x7f800000u;
var<private> intervened: bool;
/// Experts that this token uses, at most TOP_K.
var<private> used: u32;
#else
const used: u32 = TOP_K;
#endif

#if PREDICT
override PREDICTED: u32; // at least TOP_K
const CHOSEN: u32 = PREDICTED;
const ROUTERS: u32 = 2u;
const LOGITS_AT: u32 = 2u * TOP_K + PREDICTED; // words a token
/// 1 in the workgroup that predicts: which of the two blocks it reads.
var<private> ahead: u32;
#else
const CHOSEN: u32 = TOP_K;
const ROUTERS: u32 = 1u;
const LOGITS_AT: u32 = 2u * TOP_K;
const ahead: u32 = 0u;
#endif

/// Lanes that share one router row.
const PARTS: u32 = 4u;
const BLOCK_QUADS: u32 = BLOCK_CHUNKS * 8u;
const EXPERT_TRIPS: u32 = (E + WG - 1u) / WG;
const LOWEST: f32 = -0x1.fffffep+127f;
/// Key of an expert in a dropped group, below every number; that of a masked one is 0.
const DROPPED: u32 = 1u;

var<workgroup> tree: array<f32, WG>;
var<workgroup> staged: array<vec4<f32>, BLOCK_QUADS>;
/// First the parts of the logits, [E][PARTS]; then [E] selection keys as floats.
var<workgroup> parts: array<f32, E * PARTS>;
var<workgroup> scores: array<f32, E>;
var<workgroup> keys: array<u32, E>;
var<workgroup> chosen: array<u32, CHOSEN>;

/// Value `at` of this workgroup's router block.
fn vector(at: u32) -> f32 {
  return vectors[ahead * ROUTER_VEC4 * 4u + at];
}

fn tree_sum(lane: u32, value: f32) -> f32 {
  tree[lane] = value;
  workgroupBarrier();
  for (var width = WG / 2u; width > 0u; width >>= 1u) {
    if (lane < width) { tree[lane] += tree[lane + width]; }
    workgroupBarrier();
  }
  let total = tree[0];
  workgroupBarrier();
  return total;
}

fn tree_max(lane: u32, value: f32) -> f32 {
  tree[lane] = value;
  workgroupBarrier();
  for (var width = WG / 2u; width > 0u; width >>= 1u) {
    if (lane < width) { tree[lane] = max(tree[lane], tree[lane + width]); }
    workgroupBarrier();
  }
  let largest = tree[0];
  workgroupBarrier();
  return largest;
}

/// Orders as the float does (-0 = +0); NaN lies beyond the infinities. 0 and DROPPED are below every number.
fn ordered(value: f32) -> u32 {
  let bits = select(bitcast<u32>(value), 0u, value == 0.0);
  return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

/// log(1 + exp(v)) with small results kept: log1p(e) = 2 atanh(s), s = e / (2 + e) <= 1/3, to s^13 (2^-26 of the result).
fn softplus(v: f32) -> f32 {
  let e = exp(-abs(v));
  let s = e / (2.0 + e);
  let q = s * s;
  let series = 1.0 + q * (1.0 / 3.0 + q * (0.2 + q * (1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0 + q / 13.0)))));
  return max(v, 0.0) + 2.0 * s * series;
}

#if CENTERED
/// What is subtracted from the token's values: their mean.
var<private> center: f32;

fn mean(from_x: u32, lane: u32) -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < (D + WG - 1u) / WG; i++) {
    let d = i * WG + lane;
    if (d < D) { sum += x[from_x + d]; }
  }
  return tree_sum(lane, sum) / f32(D);
}
#else
const center: f32 = 0.0;
#endif

fn inverse_rms(from_x: u32, lane: u32) -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < (D + WG - 1u) / WG; i++) {
    let d = i * WG + lane;
    if (d < D) {
      let v = x[from_x + d] - center;
      sum += v * v;
    }
  }
  return inverseSqrt(tree_sum(lane, sum) / f32(D) + EPS);
}

/// Normalises one block of the token into `staged` (zero beyond D) and `normed`; returns this lane's share of shared_gate . normed.
fn stage(block: u32, from_x: u32, scale: f32, lane: u32) -> f32 {
  var gate = 0.0;
  for (var i = 0u; i < (BLOCK_QUADS + WG - 1u) / WG; i++) {
    let quad = i * WG + lane;
    if (quad < BLOCK_QUADS) {
      var v = vec4<f32>(0.0);
      for (var j = 0u; j < 4u; j++) {
        let d = (block * BLOCK_QUADS + quad) * 4u + j;
        if (d < D) {
          let unit = (x[from_x + d] - center) * scale;
#if NORM
          v[j] = unit * vector(GAMMA_AT + d);
#else
          v[j] = unit;
#endif
#if NORM_BIAS
          v[j] += vector(GAMMA_AT + D + d);
#endif
          if (ahead == 0u) { normed[from_x + d] = v[j]; }
#if SHARED_GATE
          gate += v[j] * vector(SHARED_GATE_AT + d);
#endif
#if ROUTER_GAINS
          v[j] = unit * vector(ROUTER_GAINS_AT + d);
#endif
#if EARLY
          v[j] = x[from_x + d];
          if (ahead == 0u) { v[j] = early[from_x + d]; }
#endif
        }
      }
      staged[quad] = v;
    }
  }
  return gate;
}

fn staged_chunk(chunk: u32) -> array<vec4<f32>, 8> {
  let q = chunk * 8u;
  return array<vec4<f32>, 8>(
    staged[q],
    staged[q + 1u],
    staged[q + 2u],
    staged[q + 3u],
    staged[q + 4u],
    staged[q + 5u],
    staged[q + 6u],
    staged[q + 7u],
  );
}

/// Adds the staged block to every part of a logit (sets it, for the first block). A lane always meets the same parts, so they need no barrier.
fn add_block(block: u32, lane: u32) {
  for (var i = 0u; i < (E * PARTS + WG - 1u) / WG; i++) {
    let at = i * WG + lane;
    if (at < E * PARTS) {
      // Said explicitly: SwiftShader sets workgroup memory to zero for the first workgroups only.
      var sum = 0.0;
      if (block > 0u) { sum = parts[at]; }
      for (var j = 0u; j < BLOCK_CHUNKS / PARTS; j++) {
        let local = j * PARTS + at % PARTS;
        let chunk = block * BLOCK_CHUNKS + local;
        if (chunk < W_CHUNKS) {
          let router = ahead * ROUTER_VEC4;
          sum += weight_scale(router, at / PARTS, chunk) * dot32(unscaled32(router, at / PARTS, chunk), staged_chunk(local));
        }
      }
      parts[at] = sum;
    }
  }
}

/// scores [E] from the parts of token t's logits.
fn score(t: u32, lane: u32) {
  var largest = LOWEST;
  for (var i = 0u; i < EXPERT_TRIPS; i++) {
    let e = i * WG + lane;
    if (e < E) {
      var logit = 0.0;
      for (var p = 0u; p < PARTS; p++) { logit += parts[e * PARTS + p]; }
#if LOGIT_BIAS
      logit += vector(LOGIT_BIAS_AT + e);
#endif
#if LOGITS
      if (ahead == 0u) { routed[u_step.tokens * LOGITS_AT + t * E + e] = bitcast<u32>(logit); }
#endif
#if SCORE_SIGMOID
      logit = sigmoid(logit);
#endif
#if SCORE_SQRT_SOFTPLUS
      logit = sqrt(softplus(logit));
#endif
      scores[e] = logit;
      largest = max(largest, logit);
    }
  }
  workgroupBarrier();
#if SCORE_SOFTMAX
  let top = tree_max(lane, largest);
  var sum = 0.0;
  for (var i = 0u; i < EXPERT_TRIPS; i++) {
    let e = i * WG + lane;
    if (e < E) {
      let p = exp(scores[e] - top);
      scores[e] = p;
      sum += p;
    }
  }
  let total = tree_sum(lane, sum);
  for (var i = 0u; i < EXPERT_TRIPS; i++) {
    let e = i * WG + lane;
    if (e < E) { scores[e] = scores[e] / total; }
  }
#endif
}

#if GROUPS
const GROUP_SIZE: u32 = E / GROUP_COUNT;
var<workgroup> group_keys: array<u32, GROUP_COUNT>;

/// A group's largest key, or the sum of its two largest.
fn rank_groups(lane: u32) {
  for (var i = 0u; i < (GROUP_COUNT + WG - 1u) / WG; i++) {
    let g = i * WG + lane;
    if (g < GROUP_COUNT) {
      var best = LOWEST;
      var second = LOWEST;
      for (var j = 0u; j < GROUP_SIZE; j++) {
        let key = parts[g * GROUP_SIZE + j];
        second = max(second, min(best, key));
        best = max(best, key);
      }
#if GROUP_TOP2
      best += second;
#endif
      group_keys[g] = ordered(best);
    }
  }
}

fn group_kept(group: u32) -> bool {
  let mine = group_keys[group];
  var rank = 0u;
  for (var g = 0u; g < GROUP_COUNT; g++) {
    let other = group_keys[g];
    if (other > mine || (other == mine && g < group)) { rank++; }
  }
  return rank < GROUP_KEEP;
}
#endif

#if INTERVENE
fn rule_of(e: u32) -> u32 {
  return interventions[ahead * INTERVENTION_VEC4 + 1u + e / 4u][e % 4u];
}

fn is_masked(e: u32) -> bool {
  return intervened && rule_of(e) == MASKED;
}

/// The key that ranks groups and experts. Forcing changes no key.
fn steered(e: u32, key: f32) -> f32 {
  let rule = rule_of(e);
  if (rule == MASKED) { return LOWEST; }
  if (rule == FORCED) { return key; }
  return key + bitcast<f32>(rule);
}
#else
fn is_masked(e: u32) -> bool {
  return false;
}
#endif

/// keys [E] from scores.
fn select_keys(lane: u32) {
  for (var i = 0u; i < EXPERT_TRIPS; i++) {
    let e = i * WG + lane;
    if (e < E) {
      var key = scores[e];
#if SELECTION_BIAS
      key += vector(SELECTION_BIAS_AT + e);
#endif
#if INTERVENE
      if (intervened) { key = steered(e, key); }
#endif
      keys[e] = select(ordered(key), 0u, is_masked(e));
      parts[e] = key;
    }
  }
  workgroupBarrier();
#if GROUPS
  rank_groups(lane);
  workgroupBarrier();
  for (var i = 0u; i < EXPERT_TRIPS; i++) {
    let e = i * WG + lane;
    if (e < E) {
      if (!group_kept(e / GROUP_SIZE) && !is_masked(e)) {
#if DROPPED_ZERO
        keys[e] = ordered(0.0);
#else
        keys[e] = DROPPED;
#endif
      }
    }
  }
  workgroupBarrier();
#endif
}

/// An expert's place is the number of experts before it: all places differ, and ties go to the lower id.
fn place_of(e: u32) -> u32 {
  let mine = keys[e];
  var rank = 0u;
  for (var j = 0u; j < E; j++) {
    let other = keys[j];
    if (other > mine || (other == mine && j < e)) { rank++; }
  }
  return rank;
}

#if APPROXIMATE
fn takes_part(e: u32) -> bool {
#if GROUPS
  return group_kept(e / GROUP_SIZE) && !is_masked(e);
#else
  return !is_masked(e);
#endif
}

/// Raises the keys of experts that are on the GPU, and of the best, by a share of the span of the token's keys. A prediction knows of no slots.
fn raise_keys(lane: u32) {
  var high = LOWEST;
  var low = LOWEST; // negated
  for (var i = 0u; i < EXPERT_TRIPS; i++) {
    let e = i * WG + lane;
    if (e < E) {
      if (takes_part(e)) {
        high = max(high, parts[e]);
        low = max(low, -parts[e]);
      }
    }
  }
  let highest = tree_max(lane, high);
  let lowest = -tree_max(lane, low);
  for (var i = 0u; i < EXPERT_TRIPS; i++) {
    let e = i * WG + lane;
    if (e < E) {
      if (slot_table[e] != MISSING || place_of(e) < u_step.prior_keep) { parts[e] += u_step.cache_prior * (highest - lowest); }
    }
  }
  workgroupBarrier();
  for (var i = 0u; i < EXPERT_TRIPS; i++) {
    let e = i * WG + lane;
    if (e < E) {
      if (ahead == 0u && takes_part(e)) { keys[e] = ordered(parts[e]); }
    }
  }
  workgroupBarrier();
}
#endif

#if INTERVENE
/// Whether an expert is among the first `places` when all forced ones come before all others.
fn is_admitted(e: u32, places: u32) -> bool {
  let mine = keys[e];
  let is_forced = rule_of(e) == FORCED;
  var rank = 0u;
  for (var j = 0u; j < E; j++) {
    let other = keys[j];
    let goes_first = other > mine || (other == mine && j < e);
    let other_forced = rule_of(j) == FORCED;
    if (select(goes_first, other_forced, other_forced != is_forced)) { rank++; }
  }
  return rank < places;
}

/// Gives the lowest places to forced experts that would not be chosen. The admitted keep their keys, and so their order; all others fall below them.
fn admit(lane: u32) {
  let places = used + select(0u, CHOSEN - TOP_K, ahead == 1u);
  for (var i = 0u; i < EXPERT_TRIPS; i++) {
    let e = i * WG + lane;
    if (e < E) { parts[e] = select(0.0, 1.0, is_admitted(e, places)); }
  }
  workgroupBarrier();
  for (var i = 0u; i < EXPERT_TRIPS; i++) {
    let e = i * WG + lane;
    if (e < E) {
      if (parts[e] == 0.0) { keys[e] = 0u; }
    }
  }
  workgroupBarrier();
}
#endif

fn choose(lane: u32) {
  for (var i = 0u; i < EXPERT_TRIPS; i++) {
    let e = i * WG + lane;
    if (e < E) {
      let place = place_of(e);
      if (place < CHOSEN) { chosen[place] = e; }
    }
  }
  workgroupBarrier();
}

#if SCORE_SPARSE_MIXER
fn is_chosen_before(e: u32, pair: u32) -> bool {
  for (var k = 0u; k < pair; k++) {
    if (chosen[k] == e) { return true; }
  }
  return false;
}

/// Softmax of a chosen expert's logit over those near it that were not chosen before.
fn mixed_weight(pair: u32) -> f32 {
  let own = chosen[pair];
  let largest = scores[own];
  var total = 0.0;
  for (var e = 0u; e < E; e++) {
    let logit = scores[e];
    let is_far = largest - logit > TOLERANCE * max(abs(logit), largest);
    if (!is_far && !is_chosen_before(e, pair)) { total += exp(logit - largest); }
  }
  return 1.0 / total;
}
#endif

fn weight_of(pair: u32) -> f32 {
  var weight = scores[chosen[pair]];
#if SCORE_SPARSE_MIXER
  weight = mixed_weight(pair);
#endif
  var top = 0.0;
#if SCORE_SOFTMAX_CHOSEN
  top = LOWEST;
  for (var k = 0u; k < used; k++) { top = max(top, scores[chosen[k]]); }
  weight = exp(weight - top);
#endif
  var total = 0.0;
  for (var k = 0u; k < used; k++) {
#if SCORE_SOFTMAX_CHOSEN
    total += exp(scores[chosen[k]] - top);
#else
    total += scores[chosen[k]];
#endif
  }
#if SCORE_SOFTMAX_CHOSEN
  weight /= total;
  total = 1.0;
#endif
#if RENORMALIZE
  weight /= total + RENORMALIZE_EPS;
#endif
#if RENORMALIZE_LEAST
  weight /= max(total, LEAST_SUM);
#endif
#if EXPERT_SCALE
  weight *= vector(EXPERT_SCALE_AT + chosen[pair]);
#endif
  return weight * SCALE;
}

#if APPROXIMATE
var<workgroup> weights: array<f32, TOP_K>;

fn is_kept(pair: u32, total: f32) -> bool {
  let is_light = weights[pair] * f32(used) < u_step.drop_below * total;
  let is_beyond = pair >= used || (u_step.keep_experts > 0u && pair >= u_step.keep_experts);
  return !is_beyond && !(is_light && slot_table[chosen[pair]] == MISSING);
}

fn write_routed(t: u32, lane: u32) {
  if (lane < TOP_K) { weights[lane] = weight_of(lane); }
  workgroupBarrier();
  if (lane < TOP_K) {
    var total = 0.0;
    for (var k = 0u; k < used; k++) { total += weights[k]; }
    var best = 0u;
    var kept = 0u;
    var kept_total = 0.0;
    for (var k = 0u; k < TOP_K; k++) {
      if (is_kept(k, total)) {
        best = select(best, k, kept == 0u);
        kept++;
        kept_total += weights[k];
      }
    }
    if (kept == 0u) { kept_total = weights[0]; }
    let keeps_me = lane == best || is_kept(lane, total);
    var weight = select(0.0, weights[lane], keeps_me);
    if (kept < used && kept_total > 0.0) { weight = weight / kept_total * total; }
    routed[t * 2u * TOP_K + lane] = chosen[select(best, lane, keeps_me)];
    routed[t * 2u * TOP_K + TOP_K + lane] = bitcast<u32>(weight);
  }
}
#else
fn write_routed(t: u32, lane: u32) {
  if (lane < TOP_K) {
    let is_used = lane < used;
    routed[t * 2u * TOP_K + lane] = chosen[select(0u, lane, is_used)];
    routed[t * 2u * TOP_K + TOP_K + lane] = bitcast<u32>(select(0.0, weight_of(lane), is_used));
  }
}
#endif

#if PREDICT
/// Where too few can be chosen, the best is named again.
fn write_predicted(t: u32, lane: u32) {
  if (lane < PREDICTED) {
    let is_likely = lane < used + PREDICTED - TOP_K && !is_masked(chosen[lane]);
    routed[u_step.tokens * 2u * TOP_K + t * PREDICTED + lane] = chosen[select(0u, lane, is_likely)];
  }
}
#endif

@compute @workgroup_size(WG)
fn route(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let t = folded(workgroup, workgroups);
  if (t >= u_step.tokens) { return; }
#if PREDICT
  ahead = workgroup.z;
#endif
#if INTERVENE
  let intervention = interventions[workgroup.z * INTERVENTION_VEC4];
  intervened = intervention.x > 0u;
  used = select(TOP_K, min(intervention.x, TOP_K), intervened);
#endif
  let from_x = t * D;
#if CENTERED
  center = mean(from_x, lane);
#endif
#if NORM
  let scale = inverse_rms(from_x, lane);
#else
  let scale = 1.0;
#endif
  var gate = 0.0;
  for (var block = 0u; block < BLOCKS; block++) {
    gate += stage(block, from_x, scale, lane);
    workgroupBarrier();
    add_block(block, lane);
    workgroupBarrier();
  }
#if SHARED_GATE
  let gate_logit = tree_sum(lane, gate);
  if (lane == 0u && ahead == 0u) { shared_weight[t] = sigmoid(gate_logit); }
#endif
  score(t, lane);
  workgroupBarrier();
  select_keys(lane);
#if APPROXIMATE
  if (u_step.cache_prior > 0.0) { raise_keys(lane); }
#endif
#if INTERVENE
  if (intervention.y > 0u) { admit(lane); }
#endif
  choose(lane);
#if PREDICT
  if (workgroup.z == 1u) {
    write_predicted(t, lane);
    return;
  }
#endif
  write_routed(t, lane);
}
