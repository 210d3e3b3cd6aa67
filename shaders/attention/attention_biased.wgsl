// attention/attention_biased: out[t,h] = softmax over visible j of (SCALE q[t,h] . k[j] + bias of the distance of j from t) times v[j]
//   with SINKS exp(sinks[h]) joins the sum that the softmax divides by; with WINDOWED only j nearer than WINDOW;
//   with WHOLE j of the whole step, with ENCODED of a text of encoded[0] tokens, else j <= position + t; with BIASED the bias is
//   bias[b,h], b the bucket of d = clamp(j - position - t, -FURTHEST, FURTHEST); head h reads kv head h / (HEADS / KV_HEADS)
// in   q [T,HEADS,SIZE] f32   k_cache, v_cache [KV_HEADS,CAPACITY,SIZE]: see kv/   bias [BUCKETS,HEADS] f32   encoded [1] u32   sinks [HEADS] f32
//      buckets [2 FURTHEST + 1] u32, from d = -FURTHEST on
// out  out [T,HEADS,SIZE] f32
// grid [T, HEADS], workgroup 64; one workgroup a head of a token, walking over tiles of 64 keys
// num  f32; each score one chain over d; running maximum and sum, tiles in key order; same bits every run
// cost reads 2 SIZE words a key and token for 4 SIZE flops
// twin src/reference/attention/attention_biased.ts   entry src/kernels/attention/attention_biased.ts
#import shared/step
override HEADS: u32;
override KV_HEADS: u32;
override SIZE: u32;
override CAPACITY: u32;
override SCALE: f32;

@group(0) @binding(0) var<storage, read> q: array<f32>;
#import kv_format as k_
@group(0) @binding(1) var<storage, read> k_cache: array<k_Cell>;
#import kv_format as v_
@group(0) @binding(2) var<storage, read> v_cache: array<v_Cell>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
#if BIASED
override FURTHEST: u32;
override BUCKETS: u32;
@group(0) @binding(4) var<storage, read> bias: array<f32, BUCKETS * HEADS>;
@group(0) @binding(5) var<storage, read> buckets: array<u32>;
#endif
#if ENCODED
@group(0) @binding(6) var<storage, read> encoded: array<u32>;
#endif
#if SINKS
@group(0) @binding(7) var<storage, read> sinks: array<f32>;
#endif
#if WINDOWED
override WINDOW: u32;
#endif

const WG: u32 = 64u;
const DIMS: u32 = (SIZE + WG - 1u) / WG;
const NOTHING: f32 = -1.0e38; // below any score, finite

var<workgroup> query: array<f32, SIZE>;
var<workgroup> scores: array<f32, WG>; // then softmax weights

@compute @workgroup_size(WG)
fn attention_biased(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let t = workgroup.x;
  let head = workgroup.y;
  if (t >= u_step.tokens) { return; }
  let position = u_step.position + t;
  var end = position + 1u;
#if WHOLE
  end = u_step.position + u_step.tokens;
#endif
#if ENCODED
  end = encoded[0];
#endif
#if WINDOWED
  let begin = max(position + 1u, WINDOW) - WINDOW;
  end = min(end, position + WINDOW);
#else
  let begin = 0u;
#endif
  let from_kv = head / (HEADS / KV_HEADS) * CAPACITY;
  let from_q = (t * HEADS + head) * SIZE;
  for (var i = 0u; i < DIMS; i++) {
    let d = i * WG + lane;
    if (d < SIZE) { query[d] = q[from_q + d]; }
  }

#if SINKS
  var highest = sinks[head];
  var total = 1.0;
#else
  var highest = NOTHING;
  var total = 0.0;
#endif
  var sums = array<f32, DIMS>();
  for (var base = begin; base < end; base += WG) {
    // Past the end the last key stands in: memory there was never written, and its weight is 0, but 0 * NaN is NaN.
    let key = min(base + lane, end - 1u);
    workgroupBarrier();
    var product = 0.0;
    for (var d = 0u; d < SIZE; d++) { product += query[d] * k_value(from_kv + key, d); }
    product *= SCALE;
#if BIASED
    // From 0, where the key is FURTHEST or more in front.
    let distance = min(max(key + FURTHEST, position) - position, 2u * FURTHEST);
    product += bias[buckets[distance] * HEADS + head];
#endif
    product = select(NOTHING, product, base + lane < end);
    scores[lane] = product;
    workgroupBarrier();
    var top = highest;
    for (var i = 0u; i < WG; i++) { top = max(top, scores[i]); }
    let decay = exp(highest - top);
    highest = top;
    workgroupBarrier();
    scores[lane] = exp(product - top);
    workgroupBarrier();
    total *= decay;
    for (var i = 0u; i < DIMS; i++) { sums[i] *= decay; }
    for (var j = 0u; j < min(WG, end - base); j++) {
      let weight = scores[j];
      total += weight;
      for (var i = 0u; i < DIMS; i++) {
        sums[i] += weight * v_value(from_kv + base + j, min(i * WG + lane, SIZE - 1u));
      }
    }
  }
  for (var i = 0u; i < DIMS; i++) {
    let d = i * WG + lane;
    if (d < SIZE) { out[from_q + d] = sums[i] / total; }
  }
}
