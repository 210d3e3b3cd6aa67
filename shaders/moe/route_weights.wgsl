// The weights of chosen experts, from their scores.
#if EXPERT_SCALE
override EXPERT_SCALE_AT: u32;
#endif
override SCALE: f32;
#if RENORMALIZE
override RENORMALIZE_EPS: f32;
#endif
#if RENORMALIZE_LEAST
override LEAST_SUM: f32;
#endif
#if SCORE_SPARSE_MIXER
override TOLERANCE: f32;

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
