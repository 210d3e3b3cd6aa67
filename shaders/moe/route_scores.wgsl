// Scores of experts from the logits of a token: in [E], as the softmax, the sigmoid or whatever else the router takes of them.
#import shared/sigmoid
#import shared/tree
#if LOGIT_BIAS
override LOGIT_BIAS_AT: u32;
#endif
#if DEVIATION
override LOGITS_DEVIATION: f32;
#endif

var<workgroup> scores: array<f32, E>;

/// log(1 + exp(v)) with small results kept: log1p(e) = 2 atanh(s), s = e / (2 + e) <= 1/3, to s^13 (2^-26 of the result).
fn softplus(v: f32) -> f32 {
  let e = exp(-abs(v));
  let s = e / (2.0 + e);
  let q = s * s;
  let series = 1.0 + q * (1.0 / 3.0 + q * (0.2 + q * (1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0 + q / 13.0)))));
  return max(v, 0.0) + 2.0 * s * series;
}

#if DEVIATION
#if PRODUCTS
#else
fn logit_of(e: u32) -> f32 {
  var sum = 0.0;
  for (var p = 0u; p < PARTS; p++) { sum += parts[e * PARTS + p]; }
  return sum;
}
#endif

/// What logits are multiplied by to deviate from their mean by LOGITS_DEVIATION: over E - 1, as of a sample.
fn stretch(lane: u32) -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < EXPERT_TRIPS; i++) {
    let e = i * WG + lane;
    if (e < E) { sum += logit_of(e); }
  }
  let middle = tree_sum(lane, sum) / f32(E);
  var squares = 0.0;
  for (var i = 0u; i < EXPERT_TRIPS; i++) {
    let e = i * WG + lane;
    if (e < E) {
      let off = logit_of(e) - middle;
      squares += off * off;
    }
  }
  return LOGITS_DEVIATION * inverseSqrt(tree_sum(lane, squares) / f32(E - 1u));
}
#endif

/// scores [E] from the parts of token t's logits.
fn score(t: u32, lane: u32) {
  var largest = LOWEST;
#if DEVIATION
  let by = stretch(lane);
#endif
  for (var i = 0u; i < EXPERT_TRIPS; i++) {
    let e = i * WG + lane;
    if (e < E) {
#if PRODUCTS
      var logit = logit_of(e);
#else
      var logit = 0.0;
      for (var p = 0u; p < PARTS; p++) { logit += parts[e * PARTS + p]; }
#endif
#if DEVIATION
      logit *= by;
#endif
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
