// Heads of q, k, v as attention takes them: RMS-normed (q, k), clamped (q, k, v) and turned by RoPE (q, k).
//   norm   x * rsqrt(mean x^2 + EPS) * gamma, over stretches of Q_NORM values of the q heads and K_NORM of the k heads: one head, or all;
//          with NORM_ROTATED of one head, after it turned; gamma is 1 without GAINS; with VALUE_NORMED v heads too, without gamma
//   heat   with TEMPERED q times 1 + HEAT ln(1 + floor((position + 1) / HEAT_EVERY))
//   rope   the first 2 PAIRS values of a head turn by the table's angle at `position`; the others pass
// The importer has HEADS, KV_HEADS and WG, its lanes. Head h < HEADS is of q, then come KV_HEADS of k, then as many of v.
override SIZE: u32;
override QKV_ROW: u32;

@group(0) @binding(0) var<storage, read> qkv: array<f32>; // [T, QKV_ROW]: q heads, k heads, v heads
#if ROTATED
#import shared/rope
@group(0) @binding(6) var<storage, read> rope: array<f32>; // [positions, 2, PAIRS]
#endif
#if NORMED
override Q_NORM: u32;
override K_NORM: u32;
override EPS: f32;
#if GAINS
@group(0) @binding(7) var<storage, read> q_gamma: array<f32>; // [Q_NORM]
@group(0) @binding(8) var<storage, read> k_gamma: array<f32>; // [K_NORM]
#endif
const NORM_TRIPS: u32 = (max(Q_NORM, K_NORM) + WG - 1u) / WG;
#endif
#if CLIPPED
override CLIP: f32;
#endif
#if TEMPERED
override HEAT: f32;
override HEAT_EVERY: u32;
#endif

struct Head {
  from_x: u32,     // of its values in qkv
  from_gamma: u32, // of its values in the gamma of its stretch, which starts as many values before it
  is_q: bool,
  is_v: bool,
  scale: f32,      // of the norm: 1 until `norm_scale` is set
}

fn head_at(t: u32, h: u32) -> Head {
  let is_q = h < HEADS;
  var from_gamma = 0u;
#if NORMED
  from_gamma = ((h - select(HEADS, 0u, is_q)) * SIZE) % select(K_NORM, Q_NORM, is_q);
#endif
  return Head(t * QKV_ROW + h * SIZE, from_gamma, is_q, h >= HEADS + KV_HEADS, 1.0);
}

#if NORMED
/// Of the norm: what value d of the head is multiplied by.
fn gain(head: Head, d: u32) -> f32 {
#if VALUE_NORMED
  if (head.is_v) { return head.scale; }
#else
  if (head.is_v) { return 1.0; }
#endif
#if GAINS
  if (head.is_q) { return head.scale * q_gamma[head.from_gamma + d]; }
  return head.scale * k_gamma[head.from_gamma + d];
#else
  return head.scale;
#endif
}

/// A lane's share of the squares of the head's stretch.
fn square_share(head: Head, lane: u32, position: u32) -> f32 {
  let stretch = select(K_NORM, Q_NORM, head.is_q);
  var sum = 0.0;
  for (var i = 0u; i < NORM_TRIPS; i++) {
    let d = i * WG + lane;
    if (d < stretch) {
#if NORM_ROTATED
      let value = turned_value(head, d, position);
#else
      let value = qkv[head.from_x - head.from_gamma + d];
#endif
      sum += value * value;
    }
  }
  return sum;
}

fn norm_scale(head: Head, squares: f32) -> f32 {
  return inverseSqrt(squares / f32(select(K_NORM, Q_NORM, head.is_q)) + EPS);
}
#endif

fn prepared(head: Head, d: u32) -> f32 {
  var value = qkv[head.from_x + d];
#if NORMED
#if NORM_ROTATED
#else
  value *= gain(head, d);
#endif
#endif
#if CLIPPED
  value = clamp(value, -CLIP, CLIP);
#endif
  return value;
}

fn turned_value(head: Head, d: u32, position: u32) -> f32 {
#if ROTATED
  if (!head.is_v && d < 2u * PAIRS) {
    let pair = pair_of(d);
    let angle = position * 2u * PAIRS + pair;
    return turned(d, prepared(head, low_of(pair)), prepared(head, high_of(pair)), rope[angle], rope[angle + PAIRS]);
  }
#endif
  return prepared(head, d);
}

/// Value d of a head as attention takes it.
fn rotated(head: Head, d: u32, position: u32) -> f32 {
  var value = turned_value(head, d, position);
#if NORM_ROTATED
  value *= gain(head, d);
#endif
#if TEMPERED
  if (head.is_q) { value *= 1.0 + HEAT * log(1.0 + f32((position + 1u) / HEAT_EVERY)); }
#endif
  return value;
}
