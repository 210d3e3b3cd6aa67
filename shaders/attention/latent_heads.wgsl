// Heads of q, k, v of latent attention as attention takes them: the rope part of q turns, k = [own nope part ; the token's shared rope key, turned].
// The importer has HEADS. Head h < HEADS is of q, then come as many of k, then as many of v.
#import shared/rope
override NOPE: u32;
override ROPE: u32;
override VALUE: u32;
override Q_ROW: u32;
override Q_AT: u32;
override UP_ROW: u32;
override UP_AT: u32;
override DOWN_ROW: u32;
override KEY_AT: u32;

@group(0) @binding(0) var<storage, read> q_raw: array<f32>; // [T, Q_ROW]: HEADS (NOPE + ROPE) values at Q_AT
@group(0) @binding(6) var<storage, read> rope: array<f32>;  // [positions, 2, PAIRS]
@group(0) @binding(7) var<storage, read> kv_up: array<f32>; // [T, UP_ROW]: HEADS (NOPE + VALUE) values at UP_AT: nope key, value
@group(0) @binding(8) var<storage, read> down: array<f32>;  // [T, DOWN_ROW]: ROPE values at KEY_AT

const KEY: u32 = NOPE + ROPE;

struct Head {
  from_x: u32,   // of its values in q_raw, or in kv_up
  from_key: u32, // of the rope key in `down`
  is_q: bool,
  is_v: bool,
}

fn head_at(t: u32, h: u32) -> Head {
  let from_key = t * DOWN_ROW + KEY_AT;
  if (h < HEADS) { return Head(t * Q_ROW + Q_AT + h * KEY, from_key, true, false); }
  let is_v = h >= 2u * HEADS;
  let of_head = t * UP_ROW + UP_AT + h % HEADS * (NOPE + VALUE);
  return Head(of_head + select(0u, NOPE, is_v), from_key, false, is_v);
}

fn rope_value(head: Head, r: u32) -> f32 {
  if (head.is_q) { return q_raw[head.from_x + NOPE + r]; }
  return down[head.from_key + r];
}

/// Value d of a head as attention takes it.
fn rotated(head: Head, d: u32, position: u32) -> f32 {
  if (head.is_v || (!head.is_q && d < NOPE)) { return kv_up[head.from_x + d]; }
  if (d < NOPE) { return q_raw[head.from_x + d]; }
  let r = d - NOPE;
  if (r >= 2u * PAIRS) { return rope_value(head, r); }
  let pair = pair_of(r);
  let angle = position * 2u * PAIRS + pair;
  return turned(r, rope_value(head, low_of(pair)), rope_value(head, high_of(pair)), rope[angle], rope[angle + PAIRS]);
}
