// Which experts a token gets: those of the CHOSEN best keys, in descending order.
#import moe/route_interventions
#if GROUPS
#import moe/route_groups
#endif
#if SELECTION_BIAS
override SELECTION_BIAS_AT: u32;
#endif

/// Key of an expert in a dropped group, below every number; that of a masked one is 0.
const DROPPED: u32 = 1u;

var<workgroup> keys: array<u32, E>;
var<workgroup> chosen: array<u32, CHOSEN>;

/// Orders as the float does (-0 = +0); NaN lies beyond the infinities. 0 and DROPPED are below every number.
fn ordered(value: f32) -> u32 {
  let bits = select(bitcast<u32>(value), 0u, value == 0.0);
  return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

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
