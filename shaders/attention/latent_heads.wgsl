// Heads of q, k, v of latent attention as attention takes them: the rope part of q turns, k = [own nope part ; the token's shared rope key, turned].
//   with RISES nope keys and values are made here from the latent: W rms_norm(latent), one head of one token at a time, by `raise`
// The importer has HEADS, with RISES also WG and lane_sum. Head h < HEADS is of q, then come as many of k, then as many of v.
#import shared/rope
override NOPE: u32;
override ROPE: u32;
override VALUE: u32;
override Q_ROW: u32;
override Q_AT: u32;
override KEY_AT: u32;

@group(0) @binding(0) var<storage, read> q_raw: array<f32>; // [T, Q_ROW]: HEADS (NOPE + ROPE) values at Q_AT
@group(0) @binding(6) var<storage, read> rope: array<f32>;  // [positions, 2, PAIRS]
#if RISES
#import weight_format
#import shared/dot32
override KV_RANK: u32;
override LATENT_AT: u32; // of KV_RANK values in a row of q_raw; ROPE values at KEY_AT of it are the shared key
override EPS: f32;
/// W [HEADS (NOPE + VALUE), KV_RANK]: nope key, value. Its scales come through the same binding: a device guarantees eight.
@group(0) @binding(7) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(8) var<storage, read> kv_gamma: array<f32>; // [KV_RANK]

fn scale_word(at: u32) -> u32 { return values[at / 4u][at % 4u]; }

const RISEN: u32 = NOPE + VALUE;
const LATENT_QUADS: u32 = W_CHUNKS * 8u;
var<workgroup> latent: array<vec4<f32>, LATENT_QUADS>; // times kv_gamma, zero beyond KV_RANK
var<workgroup> risen: array<f32, RISEN>;
#else
override UP_ROW: u32;
override UP_AT: u32;
override DOWN_ROW: u32;
@group(0) @binding(7) var<storage, read> kv_up: array<f32>; // [T, UP_ROW]: HEADS (NOPE + VALUE) values at UP_AT: nope key, value
@group(0) @binding(8) var<storage, read> down: array<f32>;  // [T, DOWN_ROW]: ROPE values at KEY_AT
#endif

const KEY: u32 = NOPE + ROPE;

struct Head {
  from_x: u32,   // of its values in q_raw, or in kv_up
  from_key: u32, // of the shared rope key
  is_q: bool,
  is_v: bool,
}

fn head_at(t: u32, h: u32) -> Head {
  let is_q = h < HEADS;
  let is_v = h >= 2u * HEADS;
  let from_q = t * Q_ROW + Q_AT + h * KEY;
#if RISES
  return Head(from_q, t * Q_ROW + KEY_AT, is_q, is_v);
#else
  let from_up = t * UP_ROW + UP_AT + h % HEADS * (NOPE + VALUE) + select(0u, NOPE, is_v);
  return Head(select(from_up, from_q, is_q), t * DOWN_ROW + KEY_AT, is_q, is_v);
#endif
}

#if RISES
fn latent_chunk(chunk: u32) -> array<vec4<f32>, 8> {
  let q = chunk * 8u;
  return array<vec4<f32>, 8>(
    latent[q],
    latent[q + 1u],
    latent[q + 2u],
    latent[q + 3u],
    latent[q + 4u],
    latent[q + 5u],
    latent[q + 6u],
    latent[q + 7u],
  );
}

/// Makes the nope key and the value of one head of token t. All lanes call it together.
fn raise(t: u32, head: u32, lane: u32) {
  var square = 0.0;
  for (var i = 0u; i < (LATENT_QUADS + WG - 1u) / WG; i++) {
    let quad = i * WG + lane;
    if (quad < LATENT_QUADS) {
      var v = vec4<f32>();
      for (var j = 0u; j < 4u; j++) {
        let k = 4u * quad + j;
        if (k < KV_RANK) {
          let x = q_raw[t * Q_ROW + LATENT_AT + k];
          square += x * x;
          v[j] = x * kv_gamma[k];
        }
      }
      latent[quad] = v;
    }
  }
  let scale = inverseSqrt(lane_sum(square, lane) / f32(KV_RANK) + EPS); // its barriers also show `latent` to all
  for (var i = 0u; i < (RISEN + WG - 1u) / WG; i++) {
    let at = i * WG + lane;
    if (at < RISEN) {
      let row = head * RISEN + at;
      var sum = 0.0;
      for (var chunk = 0u; chunk < W_CHUNKS; chunk++) {
        sum += weight_scale(0u, row, chunk) * dot32(unscaled32(0u, row, chunk), latent_chunk(chunk));
      }
      risen[at] = sum * scale;
    }
  }
  workgroupBarrier();
}

fn up_value(head: Head, d: u32) -> f32 { return risen[d + select(0u, NOPE, head.is_v)]; }
fn key_value(head: Head, r: u32) -> f32 { return q_raw[head.from_key + r]; }
#else
fn up_value(head: Head, d: u32) -> f32 { return kv_up[head.from_x + d]; }
fn key_value(head: Head, r: u32) -> f32 { return down[head.from_key + r]; }
#endif

fn rope_value(head: Head, r: u32) -> f32 {
  if (head.is_q) { return q_raw[head.from_x + NOPE + r]; }
  return key_value(head, r);
}

/// Value d of a head as attention takes it.
fn rotated(head: Head, d: u32, position: u32) -> f32 {
  if (head.is_v || (!head.is_q && d < NOPE)) { return up_value(head, d); }
  if (d < NOPE) { return q_raw[head.from_x + d]; }
  let r = d - NOPE;
  if (r >= 2u * PAIRS) { return rope_value(head, r); }
  let pair = pair_of(r);
  let angle = position * 2u * PAIRS + pair;
  return turned(r, rope_value(head, low_of(pair)), rope_value(head, high_of(pair)), rope[angle], rope[angle + PAIRS]);
}
