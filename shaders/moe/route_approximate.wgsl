// Routing that favours experts on the GPU and leaves out light ones that are not, as the step says: see src/kernels/moe/route.ts.
@group(0) @binding(7) var<storage, read> slot_table: array<u32>;
const MISSING: u32 = 0xffffffffu;
#if NULLS
override WEIGHTED: u32;
#endif

/// Experts from WEIGHTED on have no weights, and need no slot.
fn is_there(e: u32) -> bool {
#if NULLS
  if (e >= WEIGHTED) { return true; }
#endif
  return slot_table[e] != MISSING;
}

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
      if (is_there(e) || place_of(e) < u_step.prior_keep) { parts[e] += u_step.cache_prior * (highest - lowest); }
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

var<workgroup> weights: array<f32, TOP_K>;

fn is_kept(pair: u32, total: f32) -> bool {
  let is_light = weights[pair] * f32(used) < u_step.drop_below * total;
  let is_beyond = pair >= used || (u_step.keep_experts > 0u && pair >= u_step.keep_experts);
  return !is_beyond && !(is_light && !is_there(chosen[pair]));
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
