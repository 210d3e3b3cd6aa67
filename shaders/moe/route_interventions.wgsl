// What a request changes in the choice: masked experts, forced ones, biases, and how many a token uses. See src/kernels/moe/intervention.ts. Without
// INTERVENE nothing is changed.
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
#else
const used: u32 = TOP_K;

fn is_masked(e: u32) -> bool {
  return false;
}
#endif
