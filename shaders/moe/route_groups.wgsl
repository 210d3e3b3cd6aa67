// Groups of neighbouring experts, of which the best GROUP_KEEP take part.
override GROUP_COUNT: u32;
override GROUP_KEEP: u32;

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
