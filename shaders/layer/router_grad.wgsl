// layer/router_grad: gradients of a token's logits: from the weights of its pairs, and from the losses
// in   logits [T,M]   gates [T,PLANES,G]   chosen [T,K]   kept [T,K]   dots [T,ALL]: see layer/combine_grad   facts [T,3]: see layer/scores
//      loss_grads f32: z factor, entropy factor; then [G] of the importance, [G] of the load, [sequences,G] of the shares
// out  dlogits [T,M] f32
// grid [T / 64], workgroup 64; one lane a token
// num  f32, e ascending
// cost about 8 G + 4 K words a token
// twin src/reference/layer/backward.ts   entry src/kernels/layer/backward.ts
#import shared/step
#import shared/fold
#import shared/sigmoid
#import layer/gate
#if NOISY
#import layer/philox
#import layer/logarithms
#import layer/normal
#endif
#if RESIDUAL
#import layer/mix
#endif
override G: u32;
override M: u32;
override K: u32;
override ALL: u32;
override PLANES: u32;
override SCALE: f32;

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> gates: array<f32>;
@group(0) @binding(2) var<storage, read> chosen: array<u32>;
@group(0) @binding(3) var<storage, read> kept: array<u32>;
@group(0) @binding(4) var<storage, read> dots: array<f32>;
@group(0) @binding(5) var<storage, read> facts: array<f32>;
@group(0) @binding(6) var<storage, read> loss_grads: array<f32>;
@group(0) @binding(7) var<storage, read_write> dlogits: array<f32>;

const UNUSED: u32 = 0x80000000u;
const IMPORTANCE_AT: u32 = 2u;
const LOAD_AT: u32 = IMPORTANCE_AT + G;
const SHARES_AT: u32 = LOAD_AT + G;

fn id_of(t: u32, k: u32) -> u32 {
  return chosen[t * K + k] & ~UNUSED;
}

fn score_at(t: u32, e: u32) -> f32 {
  return gates[(t * PLANES + 1u) * G + e];
}

fn raw_of(t: u32, k: u32) -> f32 {
#if UNIFORM
  return 1.0 / f32(K);
#else
  return score_at(t, id_of(t, k));
#endif
}

#if NORMALIZE
/// Part of the sum that weights are divided by.
fn in_sum(t: u32, k: u32) -> bool {
#if AFTER_DROP
  return kept[t * K + k] != 0u;
#else
  return true;
#endif
}
#endif

/// dL/ds from the shares of the losses, into dlogits.
fn shares_to_scores(t: u32) {
  let shares = SHARES_AT + (t / u_gate.sequence) * G;
  var inner = 0.0;
  var total = 0.0;
  for (var e = 0u; e < G; e++) {
    let share = gates[(t * PLANES + 2u) * G + e];
    let grad = loss_grads[shares + e] - loss_grads[1] * log(max(share, 1e-30));
    dlogits[t * M + e] = grad;
    inner += grad * share;
    total += score_at(t, e);
  }
#if SOFTMAX
#else
  for (var e = 0u; e < G; e++) { dlogits[t * M + e] = (dlogits[t * M + e] - inner) / total; }
#endif
}

/// dL/ds from the weights, added; and dL/d(mixing coefficients).
fn weights_to_scores(t: u32, mix: vec2<f32>) -> vec2<f32> {
  var total = 1.0;
#if NORMALIZE
  total = 0.0;
  for (var k = 0u; k < K; k++) {
    if (in_sum(t, k)) { total += raw_of(t, k); }
  }
  let clamped = total < 0x1p-23;
  total = max(total, 0x1p-23);
#endif
  var inner = 0.0;
  var dmix = vec2<f32>(0.0);
  for (var k = 0u; k < K; k++) {
    if (kept[t * K + k] == 0u) { continue; }
    let raw = SCALE * raw_of(t, k) / total;
    inner += raw * (dots[t * ALL + k] * mix.x + loss_grads[IMPORTANCE_AT + id_of(t, k)]);
    dmix.x += raw * dots[t * ALL + k];
  }
#if RESIDUAL
  dmix.y = dots[(t + 1u) * ALL - 1u];
#endif
#if UNIFORM
#else
  for (var k = 0u; k < K; k++) {
    let id = id_of(t, k);
    var grad = 0.0;
    if (kept[t * K + k] != 0u) { grad = SCALE * (dots[t * ALL + k] * mix.x + loss_grads[IMPORTANCE_AT + id]); }
#if NORMALIZE
    if (in_sum(t, k) && !clamped) { grad -= inner; }
#endif
    dlogits[t * M + id] += grad / total;
  }
#endif
  return dmix;
}

fn scores_to_logits(t: u32) {
#if SOFTMAX
  var inner = 0.0;
  for (var e = 0u; e < G; e++) { inner += dlogits[t * M + e] * score_at(t, e); }
#endif
  for (var e = 0u; e < G; e++) {
    let score = score_at(t, e);
    let h = gates[t * PLANES * G + e];
    let grad = dlogits[t * M + e];
    let z = loss_grads[0] * facts[3u * t] * exp(h - facts[3u * t]);
#if SOFTMAX
    dlogits[t * M + e] = z + score * (grad - inner);
#endif
#if SIGMOID
    dlogits[t * M + e] = z + grad * score * (1.0 - score);
#endif
#if SQRT_SOFTPLUS
    dlogits[t * M + e] = z + grad * sigmoid(h) / (2.0 * max(score, 1e-18));
#endif
  }
}

#if NOISY
fn threshold_of(t: u32, e: u32) -> u32 {
  for (var k = 0u; k < K; k++) {
    if (id_of(t, k) == e) { return u32(facts[3u * t + 2u]); }
  }
  return id_of(t, K - 1u);
}

/// The load is Phi(a), a = (clean - threshold) / softplus(noise), where a threshold is the H of another choice; then H = clean + n softplus(noise).
fn logits_to_noise(t: u32) {
  let clean = t * M;
  let noise = t * M + G;
  for (var e = 0u; e < G; e++) { dlogits[noise + e] = 0.0; }
  if (u_gate.training == 0u) { return; }
  for (var e = 0u; e < G; e++) {
    let threshold = threshold_of(t, e);
    let width = softplus(logits[noise + e]);
    let a = (logits[clean + e] - gates[t * PLANES * G + threshold]) / width;
    dlogits[clean + threshold] -= loss_grads[LOAD_AT + e] * normal_density(a) / width;
  }
  for (var e = 0u; e < G; e++) {
    let width = softplus(logits[noise + e]);
    let a = (logits[clean + e] - gates[t * PLANES * G + threshold_of(t, e)]) / width;
    let density = loss_grads[LOAD_AT + e] * normal_density(a) / width;
    let dwidth = dlogits[clean + e] * normal(t, e) - density * a;
    dlogits[noise + e] = dwidth * sigmoid(logits[noise + e]);
    dlogits[clean + e] += density;
  }
}
#endif

@compute @workgroup_size(64)
fn router_grad(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let t = folded(workgroup, workgroups) * 64u + lane;
  if (t >= u_step.tokens) { return; }
  var mix = vec2<f32>(1.0);
#if RESIDUAL
  mix = mix_of(logits[(t + 1u) * M - 2u], logits[(t + 1u) * M - 1u]);
#endif
  shares_to_scores(t);
  let dmix = weights_to_scores(t, mix);
  scores_to_logits(t);
#if NOISY
  logits_to_noise(t);
#endif
#if RESIDUAL
  let grad = mix.x * mix.y * (dmix.x - dmix.y);
  dlogits[(t + 1u) * M - 2u] = grad;
  dlogits[(t + 1u) * M - 1u] = -grad;
#endif
}
