// attention/attention_prefill: out[t,h] = softmax over visible j of (SCALE q[t,h] . k[j]) times v[j], for many tokens (flash attention)
//   visible j: position + t - WINDOW < j <= position + t, or as shared/visible says; scores as shared/score says; head h reads kv head
//   h / (HEADS / KV_HEADS); a sink joins the denominator only
// in   q [T,HEADS,KEY_SIZE] f32   k_cache [KV_HEADS,CAPACITY,KEY_SIZE] v_cache [KV_HEADS,CAPACITY,VALUE_SIZE or, of latents, KEY_SIZE]: see kv/   sinks [HEADS] f32
// out  out [T,HEADS,VALUE_SIZE] f32
// grid [ceil(T / QUERIES), HEADS], workgroup 64; one workgroup a head of QUERIES tokens, walking over tiles of KEYS keys
// num  f32; each score one chain over d; running maximum and sum per query, tiles in key order; same bits every run
// cost per tile reads (QUERIES + KEYS) KEY_SIZE + KEYS VALUE_SIZE words for 2 QUERIES KEYS (KEY_SIZE + VALUE_SIZE) flops
// twin src/reference/attention/attention.ts   entry src/kernels/attention/attention.ts
#import shared/step
#import shared/visible
#import shared/score
override HEADS: u32;
override KV_HEADS: u32;
override KEY_SIZE: u32;
override VALUE_SIZE: u32;
override CAPACITY: u32;
override QUERIES: u32;   // tokens of a workgroup: 8, 16 or 32
override SLICE: u32;     // of the KEY_SIZE dimensions staged at a time, at most QUERIES

@group(0) @binding(0) var<storage, read> q: array<f32>;
#import kv_format as k_
@group(0) @binding(1) var<storage, read> k_cache: array<k_Cell>;
#import kv_format as v_
@group(0) @binding(2) var<storage, read> v_cache: array<v_Cell>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
#if SINKS
@group(0) @binding(4) var<storage, read> sinks: array<f32>;
#endif

// A lane scores four queries (`quad`) against four keys (`part`); then it owns value dimensions lane, lane + 64, ... of all queries.
const WG: u32 = 64u;
const QUADS: u32 = QUERIES / 4u;
const PARTS: u32 = WG / QUADS;
const KEYS: u32 = 4u * PARTS;
const SLICES: u32 = (KEY_SIZE + SLICE - 1u) / SLICE;
const DIMS: u32 = (VALUE_SIZE + WG - 1u) / WG;
// One vec4 more than a row holds keeps lanes that write a column off each other's banks.
const Q_ROW: u32 = QUADS + 1u;
const K_ROW: u32 = PARTS + 1u;
const NOTHING: f32 = -1.0e38; // below any score, finite

var<workgroup> queries: array<vec4<f32>, SLICE * Q_ROW>;                 // [dimension][quad]
// Keys [dimension][part] while scoring, then softmax weights [key][quad].
var<workgroup> tile: array<vec4<f32>, max(SLICE * K_ROW, KEYS * QUADS)>;
var<workgroup> highest: array<vec4<f32>, WG>;                            // [part][quad]
var<workgroup> totals: array<vec4<f32>, WG>;                             // [part][quad]
var<workgroup> per_quad: array<vec4<f32>, QUADS>;

@compute @workgroup_size(WG)
fn attention_prefill(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let first_t = workgroup.x * QUERIES;
  let head = workgroup.y;
  if (first_t >= u_step.tokens) { return; }
  let last_t = min(first_t + QUERIES, u_step.tokens) - 1u;
  let begin = first_visible(u_step.position + first_t);
  let end = u_step.position + last_t + 1u;
  let from_kv = head / (HEADS / KV_HEADS) * CAPACITY;
  let quad = lane % QUADS;
  let part = lane / QUADS;
  // Rows past the last token repeat it; they are not written.
  let position = min(first_t + quad * 4u + vec4(0u, 1u, 2u, 3u), vec4(last_t)) + u_step.position;
  let from_key = vec4(
    first_visible(position.x), first_visible(position.y), first_visible(position.z), first_visible(position.w));

#if SINKS
  var running_max = vec4(sinks[head]);
  var running_sum = vec4(1.0);
#else
  var running_max = vec4(NOTHING);
  var running_sum = vec4(0.0);
#endif
  var sums: array<vec4<f32>, DIMS * QUADS>;

  for (var base = begin; base < end; base += KEYS) {
    // [key] of four queries. The zeros are written out: Tint keeps the last turn's values in a variable declared bare inside a loop.
    var score = array<vec4<f32>, 4>();
    for (var slice = 0u; slice < SLICES; slice++) {
      workgroupBarrier();
      for (var i = 0u; i < (SLICE * QUADS + WG - 1u) / WG; i++) {
        let at = i * WG + lane;
        if (at < SLICE * QUADS) {
          let d = slice * SLICE + at % SLICE;
          let t = min(first_t + at / SLICE * 4u + vec4(0u, 1u, 2u, 3u), vec4(last_t));
          let start = (t * HEADS + head) * KEY_SIZE + min(d, KEY_SIZE - 1u);
          let column = vec4(q[start.x], q[start.y], q[start.z], q[start.w]);
          queries[at % SLICE * Q_ROW + at / SLICE] = select(vec4(0.0), column, d < KEY_SIZE);
        }
      }
      for (var i = 0u; i < (SLICE * PARTS + WG - 1u) / WG; i++) {
        let at = i * WG + lane;
        if (at < SLICE * PARTS) {
          let d = slice * SLICE + at % SLICE;
          // Past the end the last key stands in: memory there was never written, and its weight is 0, but 0 * NaN is NaN.
          let key = min(base + at / SLICE * 4u + vec4(0u, 1u, 2u, 3u), vec4(end - 1u));
          let row = from_kv + key;
          let c = min(d, KEY_SIZE - 1u);
          let column = vec4(k_value(row.x, c), k_value(row.y, c), k_value(row.z, c), k_value(row.w, c));
          tile[at % SLICE * K_ROW + at / SLICE] = select(vec4(0.0), column, d < KEY_SIZE);
        }
      }
      workgroupBarrier();
      for (var d = 0u; d < SLICE; d++) {
        let a = queries[d * Q_ROW + quad];
        let b = tile[d * K_ROW + part];
        score[0] += a * b.x;
        score[1] += a * b.y;
        score[2] += a * b.z;
        score[3] += a * b.w;
      }
    }

    var top = vec4(NOTHING);
    for (var c = 0u; c < 4u; c++) {
      let key = vec4(base + part * 4u + c);
      let product = score[c];
      let counts = vec4(scored(product.x), scored(product.y), scored(product.z), scored(product.w));
      score[c] = select(vec4(NOTHING), counts, (key >= from_key) & (key <= position));
      top = max(top, score[c]);
    }
    highest[part * QUADS + quad] = top;
    workgroupBarrier();
    top = running_max;
    for (var p = 0u; p < PARTS; p++) { top = max(top, highest[p * QUADS + quad]); }
    let decay = exp(running_max - top);
    running_max = top;
    var total = vec4(0.0);
    for (var c = 0u; c < 4u; c++) {
      // 0 for a masked key, because `top` is a real score: KEYS >= QUERIES, so that the first tile has a key for every query.
      let weight = exp(score[c] - top);
      tile[(part * 4u + c) * QUADS + quad] = weight;
      total += weight;
    }
    totals[part * QUADS + quad] = total;
    if (part == 0u) { per_quad[quad] = decay; }
    workgroupBarrier();
    running_sum *= decay;
    for (var p = 0u; p < PARTS; p++) { running_sum += totals[p * QUADS + quad]; }

    for (var o = 0u; o < QUADS; o++) {
      let fade = per_quad[o];
      for (var i = 0u; i < DIMS; i++) { sums[i * QUADS + o] *= fade; }
    }
    for (var j = 0u; j < KEYS; j++) {
      let row = from_kv + min(base + j, end - 1u);
      var value: array<f32, DIMS>;
      for (var i = 0u; i < DIMS; i++) { value[i] = v_value(row, min(i * WG + lane, VALUE_SIZE - 1u)); }
      for (var o = 0u; o < QUADS; o++) {
        let weight = tile[j * QUADS + o];
        for (var i = 0u; i < DIMS; i++) { sums[i * QUADS + o] += weight * value[i]; }
      }
    }
  }

  workgroupBarrier();
  if (part == 0u) { per_quad[quad] = running_sum; }
  workgroupBarrier();
  for (var o = 0u; o < QUADS; o++) {
    for (var i = 0u; i < DIMS; i++) {
      let d = i * WG + lane;
      let mean = sums[i * QUADS + o] / per_quad[o];
      for (var c = 0u; c < 4u; c++) {
        let t = first_t + o * 4u + c;
        if (t <= last_t && d < VALUE_SIZE) { out[(t * HEADS + head) * VALUE_SIZE + d] = mean[c]; }
      }
    }
  }
}
