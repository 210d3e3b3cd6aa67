// attention/rotate_append: q, k, v of each token, RMS-normed (q, k), clamped (q, k, v) and turned by RoPE (q, k); q goes out, k and v into the caches
//   norm   x * rsqrt(mean x^2 + EPS) * gamma, over stretches of Q_NORM values of the q heads and K_NORM of the k heads: one head, or all;
//          with NORM_ROTATED of one head, after it turned
//   rope   the first 2 PAIRS values of a head turn by the table's angle at position + t; the others pass
// in   qkv [T, (HEADS + 2 KV_HEADS) SIZE] f32: q heads, k heads, v heads   q_gamma [Q_NORM] f32   k_gamma [K_NORM] f32   rope [positions, 2, PAIRS] f32
// out  q [T,HEADS,SIZE] f32   k_cache, v_cache [KV_HEADS,CAPACITY,SIZE] f32, at positions position .. position + T - 1
// grid [T (HEADS + 2 KV_HEADS) folded], workgroup 64; one workgroup a head of a token
// num  f32 sums: per lane in order, then a fixed tree; cos and sin were computed in doubles
// cost reads 3 and writes 1 word a value; a norm over the whole projection reads it once more for every head
// twin src/reference/attention/rotate_append.ts   entry src/kernels/attention/rotate_append.ts
#import shared/step
#import shared/fold
override HEADS: u32;
override KV_HEADS: u32;
override SIZE: u32;
override CAPACITY: u32;

@group(0) @binding(0) var<storage, read> qkv: array<f32>;
@group(0) @binding(1) var<storage, read_write> q: array<f32>;
@group(0) @binding(2) var<storage, read_write> k_cache: array<f32>;
@group(0) @binding(3) var<storage, read_write> v_cache: array<f32>;
#if ROTATED
#import shared/rope
@group(0) @binding(4) var<storage, read> rope: array<f32>;
#endif
#if NORMED
override Q_NORM: u32;
override K_NORM: u32;
override EPS: f32;
@group(0) @binding(5) var<storage, read> q_gamma: array<f32>;
@group(0) @binding(6) var<storage, read> k_gamma: array<f32>;
const NORM_TRIPS: u32 = (max(Q_NORM, K_NORM) + WG - 1u) / WG;
#endif
#if CLIPPED
override CLIP: f32;
#endif

const WG: u32 = 64u;
const ALL_HEADS: u32 = HEADS + 2u * KV_HEADS;
const TRIPS: u32 = (SIZE + WG - 1u) / WG;
var<workgroup> partial: array<f32, WG>;

struct Head {
  from_x: u32,     // of its values in qkv
  from_gamma: u32, // of its values in the gamma of its stretch
  is_q: bool,
  is_v: bool,
  scale: f32,      // of the norm
}

#if NORMED
/// Of the norm: what value d of the head is multiplied by.
fn gain(head: Head, d: u32) -> f32 {
  if (head.is_v) { return 1.0; }
  if (head.is_q) { return head.scale * q_gamma[head.from_gamma + d]; }
  return head.scale * k_gamma[head.from_gamma + d];
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

fn rotated(head: Head, d: u32, position: u32) -> f32 {
#if ROTATED
  if (!head.is_v && d < 2u * PAIRS) {
    let pair = pair_of(d);
    let angle = position * 2u * PAIRS + pair;
    return turned(d, prepared(head, low_of(pair)), prepared(head, high_of(pair)), rope[angle], rope[angle + PAIRS]);
  }
#endif
  return prepared(head, d);
}

@compute @workgroup_size(WG)
fn rotate_append(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let id = folded(workgroup, workgroups);
  let t = id / ALL_HEADS;
  let h = id % ALL_HEADS;
  if (t >= u_step.tokens) { return; }
  let is_q = h < HEADS;
  let is_v = h >= HEADS + KV_HEADS;
  var head = Head(id * SIZE, 0u, is_q, is_v, 1.0);

#if NORMED
  // The stretch that holds this head starts `from_gamma` values before it.
  let stretch = select(K_NORM, Q_NORM, is_q);
  head.from_gamma = ((h - select(HEADS, 0u, is_q)) * SIZE) % stretch;
  var sum = 0.0;
  if (!is_v) {
    for (var i = 0u; i < NORM_TRIPS; i++) {
      let d = i * WG + lane;
      if (d < stretch) {
#if NORM_ROTATED
        let value = rotated(head, d, u_step.position + t);
#else
        let value = qkv[head.from_x - head.from_gamma + d];
#endif
        sum += value * value;
      }
    }
  }
  partial[lane] = sum;
  workgroupBarrier();
  for (var width = WG / 2u; width > 0u; width >>= 1u) {
    if (lane < width) { partial[lane] += partial[lane + width]; }
    workgroupBarrier();
  }
  head.scale = inverseSqrt(partial[0] / f32(stretch) + EPS);
#endif

  let position = u_step.position + t;
  for (var i = 0u; i < TRIPS; i++) {
    let d = i * WG + lane;
    if (d >= SIZE) { continue; }
    var value = rotated(head, d, position);
#if NORM_ROTATED
    value *= gain(head, d);
#endif
    if (is_q) { q[(t * HEADS + h) * SIZE + d] = value; }
    else if (is_v) { v_cache[((h - HEADS - KV_HEADS) * CAPACITY + position) * SIZE + d] = value; }
    else { k_cache[((h - HEADS) * CAPACITY + position) * SIZE + d] = value; }
  }
}
