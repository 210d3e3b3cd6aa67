// layer/weigh: w = SCALE s / sum of s for what was kept; routed gets w (times the first mixing coefficient), then the pairs that every token takes
// in   gates [T,PLANES,G]   chosen [T,K]   kept [T,K]   logits [T,M] (residual)
// out  weights [T,K] f32, 0 where dropped   routed [T,2 ALL] u32: ids, then weights; id X: no expert, X + 1: the token itself
// grid [T / 64], workgroup 64; one lane a token
// num  f32, k ascending; the sum is at least 2^-23
// cost K gathered reads, 2 ALL + K writes a token
// twin src/reference/layer/place.ts   entry src/kernels/layer/place.ts
#import shared/step
#import shared/fold
#if RESIDUAL
#import shared/sigmoid
#import layer/mix
override M: u32;
#endif
override G: u32;
override E: u32;
override K: u32;
override X: u32;
override PLANES: u32;
override SCALE: f32;

@group(0) @binding(0) var<storage, read> gates: array<f32>;
@group(0) @binding(1) var<storage, read> chosen: array<u32>;
@group(0) @binding(2) var<storage, read> kept: array<u32>;
@group(0) @binding(3) var<storage, read_write> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> routed: array<u32>;
#if RESIDUAL
@group(0) @binding(5) var<storage, read> logits: array<f32>;
#endif

const UNUSED: u32 = 0x80000000u;
const ALL: u32 = K + X - E;

fn raw_of(t: u32, k: u32) -> f32 {
#if UNIFORM
  return 1.0 / f32(K);
#else
  return gates[(t * PLANES + 1u) * G + (chosen[t * K + k] & ~UNUSED)];
#endif
}

@compute @workgroup_size(64)
fn weigh(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let t = folded(workgroup, workgroups) * 64u + lane;
  if (t >= u_step.tokens) { return; }
  var total = 1.0;
#if NORMALIZE
  total = 0.0;
  for (var k = 0u; k < K; k++) {
#if AFTER_DROP
    if (kept[t * K + k] == 0u) { continue; }
#endif
    total += raw_of(t, k);
  }
  total = max(total, 0x1p-23);
#endif
  var mix = vec2<f32>(1.0);
#if RESIDUAL
  mix = mix_of(logits[(t + 1u) * M - 2u], logits[(t + 1u) * M - 1u]);
#endif
  let at = t * 2u * ALL;
  for (var k = 0u; k < K; k++) {
    let id = chosen[t * K + k] & ~UNUSED;
    let weight = select(0.0, SCALE * raw_of(t, k) / total, kept[t * K + k] != 0u);
    weights[t * K + k] = weight;
#if IDENTITY
    let instead = X + 1u;
#else
    let instead = X;
#endif
    let place = select(X, select(instead, id, id < E), kept[t * K + k] != 0u);
    routed[at + k] = place;
    routed[at + ALL + k] = bitcast<u32>(select(weight * mix.x, 0.0, place == X));
  }
  for (var k = K; k < ALL; k++) {
    routed[at + k] = E + k - K;
    routed[at + ALL + k] = bitcast<u32>(1.0);
  }
#if RESIDUAL
  routed[at + 2u * ALL - 1u] = bitcast<u32>(mix.y);
#endif
}
