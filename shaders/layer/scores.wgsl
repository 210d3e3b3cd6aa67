// layer/scores: H = logits, plus normal noise of softplus(noise row) for noisy top-k; scores s(H), their shares of the token's sum, log-sum-exp and entropy
// in   logits [T,M] f32   u_gate
// out  gates [T,PLANES,G] f32: H, s, share (the fourth plane is layer/choose's)   facts [T,3] f32: log-sum-exp of H, entropy of the shares, (unused)
// grid [T / 64], workgroup 64; one lane a token
// num  f32; softmax with the maximum subtracted; a share below 1e-30 counts as that in the entropy
// cost reads G (2 G with noise), writes 3 G words a token
// twin src/reference/layer/gate.ts   entry src/kernels/layer/gate.ts
#import shared/step
#import shared/fold
#import shared/sigmoid
#import layer/logarithms
#if NOISY
#import layer/philox
#endif
override G: u32;
override M: u32;
override PLANES: u32;

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> gates: array<f32>;
@group(0) @binding(2) var<storage, read_write> facts: array<f32>;

fn noisy_logit(t: u32, e: u32) -> f32 {
  let clean = logits[t * M + e];
#if NOISY
  if (u_gate.training != 0u) { return clean + normal(t, e) * softplus(logits[t * M + G + e]); }
#endif
  return clean;
}

fn score_of(h: f32, top: f32) -> f32 {
#if SOFTMAX
  return exp(h - top);
#endif
#if SIGMOID
  return sigmoid(h);
#endif
#if SQRT_SOFTPLUS
  return sqrt(softplus(h));
#endif
}

@compute @workgroup_size(64)
fn scores(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let t = folded(workgroup, workgroups) * 64u + lane;
  if (t >= u_step.tokens) { return; }
  let at = t * PLANES * G;
  var top = -0x1p127;
  for (var e = 0u; e < G; e++) {
    let h = noisy_logit(t, e);
    gates[at + e] = h;
    top = max(top, h);
  }
  var powers = 0.0;
  var total = 0.0;
  for (var e = 0u; e < G; e++) {
    let h = gates[at + e];
    let score = score_of(h, top);
    gates[at + G + e] = score;
    powers += exp(h - top);
    total += score;
  }
  var entropy = 0.0;
  for (var e = 0u; e < G; e++) {
    let share = gates[at + G + e] / total;
#if SOFTMAX
    gates[at + G + e] = share;
#endif
    gates[at + 2u * G + e] = share;
    entropy -= share * log(max(share, 1e-30));
  }
  facts[3u * t] = top + log(powers);
  facts[3u * t + 1u] = entropy;
}
