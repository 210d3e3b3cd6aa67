// attention/attention_decode: attention of few tokens, the keys split over workgroups; formula and visible keys as in attention_prefill
//   with FRESH the step's own q, k and v are not there yet: they are made on the way as `heads` (attention/grouped_heads) says;
//   for a few tokens in two dispatches: APPEND_ONLY puts k and v into the caches, then APPENDED takes a token's own k and v as if it were alone
//   with LATENT, which comes with FRESH, as attention/latent_heads says: v_cache is in k_cache, and what comes out goes up through the head's value rows
// in   q [T,HEADS,KEY_SIZE] f32, or with FRESH what `heads` reads   k_cache [KV_HEADS,CAPACITY,KEY_SIZE] v_cache [KV_HEADS,CAPACITY,VALUE_SIZE]: see kv/
//      sinks [HEADS] f32
// out  out [T,HEADS,VALUE_SIZE] f32, with LATENT [T,HEADS,VALUE], when the token's keys lie in one split, else
//      partials [T,HEADS,SPLITS,VALUE_SIZE + 2] f32: unnormalised sums, maximum, denominator, for attention_reduce
//      with FRESH also k_cache and v_cache at positions position .. position + T - 1
// grid [splits that the step sees, HEADS / ROWS, T], workgroup 64; one workgroup ROWS query heads of one kv head against up to CHUNK keys
// num  f32; a score is 8 chains over d and their sum; running maximum and sum, tiles in key order, with FRESH behind the step's own keys; same bits
//      every run
// cost reads CHUNK (KEY_SIZE + VALUE_SIZE) words for 2 ROWS CHUNK (KEY_SIZE + VALUE_SIZE) flops; with FRESH every workgroup makes its q again, and
//      those of the last split the k and v of the step's tokens up to its own
// twin src/reference/attention/attention.ts   entry src/kernels/attention/attention.ts
#import shared/step
#import shared/visible
#import attention/key_tiles
override HEADS: u32;
override KV_HEADS: u32;
override CAPACITY: u32;
override CHUNK: u32;     // keys of a split

#import kv_format as k_
#if FRESH
#import heads
@group(0) @binding(1) var<storage, read_write> k_cache: array<k_Cell>;
#else
@group(0) @binding(0) var<storage, read> q: array<Unit>;
@group(0) @binding(1) var<storage, read> k_cache: array<k_Cell>;
#endif
#if LATENT
fn value_at(row: u32, d: u32) -> f32 { return k_value(row, d); }
#else
#import kv_format as v_
#if FRESH
@group(0) @binding(2) var<storage, read_write> v_cache: array<v_Cell>;
#else
@group(0) @binding(2) var<storage, read> v_cache: array<v_Cell>;
#endif
fn value_at(row: u32, d: u32) -> f32 { return v_value(row, d); }
#endif

/// Row `first` of the caches is position 0 of the kv head, `last` the last position that counts.
struct Keys { first: u32, last: u32 }
fn begin_turn(keys: Keys, base: u32, lane: u32) {}
fn row_of(keys: Keys, j: u32, base: u32) -> u32 { return keys.first + min(base + j, keys.last); }
fn key_unit(row: u32, u: u32) -> Unit { return k_unit(row, u); }
fn end_turn() {}

@group(0) @binding(3) var<storage, read_write> out: array<f32>;
#if SPLIT
override SPLITS: u32;
@group(0) @binding(4) var<storage, read_write> partials: array<f32>;
#endif
#if SINKS
@group(0) @binding(5) var<storage, read> sinks: array<f32>;
#endif

#if FRESH
const UNIT_LOADS: u32 = (UNITS + WG - 1u) / WG;
var<workgroup> fresh: array<Unit, UNITS>;

#if LATENT
#else
fn unit_at(head: Head, u: u32, position: u32) -> Unit {
#if VEC4
  let d = 4u * u;
  return Unit(
    rotated(head, d, position),
    rotated(head, d + 1u, position),
    rotated(head, d + 2u, position),
    rotated(head, d + 3u, position),
  );
#else
  return rotated(head, u, position);
#endif
}
#endif
#if SCALED
/// The largest of what all lanes have, who call it together.
fn lane_max(value: f32, lane: u32) -> f32 {
  shares[lane] = value;
  workgroupBarrier();
  var top = 0.0;
  for (var i = 0u; i < WG; i++) { top = max(top, shares[i]); }
  workgroupBarrier();
  return top;
}
fn largest(x: vec4<f32>) -> f32 {
  let a = abs(x);
  return max(max(a.x, a.y), max(a.z, a.w));
}
#endif
/// The sum over all lanes, which call it together.
fn lane_sum(value: f32, lane: u32) -> f32 {
  shares[lane] = value;
  workgroupBarrier();
  var sums = vec4<f32>();
  for (var i = 0u; i < WG / 4u; i++) {
    sums += vec4<f32>(shares[4u * i], shares[4u * i + 1u], shares[4u * i + 2u], shares[4u * i + 3u]);
  }
  workgroupBarrier();
  return (sums.x + sums.y) + (sums.z + sums.w);
}

#if LATENT
#else
#if NORMED
/// The head with its norm's scale. All lanes call it together.
fn scaled(head: Head, lane: u32, position: u32) -> Head {
  var result = head;
  result.scale = norm_scale(head, lane_sum(square_share(head, lane, position), lane));
  return result;
}
#else
fn scaled(head: Head, lane: u32, position: u32) -> Head { return head; }
#endif
#if PACKED
const VALUE_UNITS: u32 = VALUE_SIZE / 4u;
const VALUE_LOADS: u32 = (VALUE_UNITS + WG - 1u) / WG;
var<workgroup> fresh_value: array<vec4<f32>, VALUE_UNITS>;
#endif
#endif

/// Of the row of the cache that `fresh` becomes: what its values are scaled by.
fn key_most(lane: u32) -> f32 {
#if SCALED
  var top = 0.0;
  for (var i = 0u; i < UNIT_LOADS; i++) {
    let u = i * WG + lane;
    if (u < UNITS) { top = max(top, largest(fresh[u])); }
  }
  return lane_max(top, lane);
#else
  return 1.0;
#endif
}
#endif

@compute @workgroup_size(WG)
fn attention_decode(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let t = workgroup.z;
  if (t >= u_step.tokens) { return; }
  let position = u_step.position + t;
#if APPEND_ONLY
  let split = position / CHUNK;
#else
  let split = first_visible(u_step.position) / CHUNK + workgroup.x;
#endif
  let alone = first_visible(position) / CHUNK == position / CHUNK;
  let begin = max(first_visible(position), split * CHUNK);
  let end = min(position + 1u, (split + 1u) * CHUNK);
  if (begin >= end) { return; } // another token of the step sees this split

#if APPEND_ONLY
  let first_head = workgroup.y * (HEADS / KV_HEADS);
#else
  let first_head = workgroup.y * ROWS;
#endif
  let kv_head = first_head / (HEADS / KV_HEADS);
  let from_kv = kv_head * CAPACITY;
#if FRESH
  for (var r = 0u; r < ROWS; r++) {
#if LATENT
    absorb(t, first_head + r, r, lane, position);
#else
    let head = scaled(head_at(t, first_head + r), lane, position);
    for (var i = 0u; i < UNIT_LOADS; i++) {
      let u = i * WG + lane;
      if (u < UNITS) { queries[r * UNITS + u] = unit_at(head, u, position); }
    }
#endif
  }
#else
  let from_q = (t * HEADS + first_head) * UNITS;
  for (var i = 0u; i < (ROWS * UNITS + WG - 1u) / WG; i++) {
    let at = i * WG + lane;
    if (at < ROWS * UNITS) { queries[at] = q[from_q + at]; }
  }
#endif
  var denominator: array<f32, ROWS>;
  var sums: array<f32, ROWS * DIMS>;
  if (lane < ROWS) { running_max[lane] = NOTHING; }
#if SINKS
  if (alone) {
    if (lane < ROWS) { running_max[lane] = sinks[first_head + lane]; }
    for (var r = 0u; r < ROWS; r++) { denominator[r] = 1.0; }
  }
#endif
  workgroupBarrier();

#if FRESH
#if APPENDED
  let own_from = position;
#else
  // The step's own keys, one by one: other workgroups write them to the cache meanwhile.
  let own_from = u_step.position;
#endif
  let cached = min(end, own_from);
  for (var own = max(begin, own_from); own < end; own++) {
    let own_t = own - u_step.position;
#if APPEND_ONLY
    let appends = true;
#else
    let appends = own == position && first_head % (HEADS / KV_HEADS) == 0u;
#endif
#if LATENT
    let norm = latent_scale(own_t, lane);
#else
    let key = scaled(head_at(own_t, HEADS + kv_head), lane, own);
#if VALUE_NORMED
    let value = scaled(head_at(own_t, HEADS + KV_HEADS + kv_head), lane, own);
#else
    let value = head_at(own_t, HEADS + KV_HEADS + kv_head);
#endif
#endif
    for (var i = 0u; i < UNIT_LOADS; i++) {
      let u = i * WG + lane;
#if LATENT
      if (u < UNITS) { fresh[u] = latent_unit(own_t, u, norm, own); }
#else
      if (u < UNITS) { fresh[u] = unit_at(key, u, own); }
#endif
    }
    let most = key_most(lane);
    for (var i = 0u; i < UNIT_LOADS; i++) {
      let u = i * WG + lane;
      if (u < UNITS) {
#if PACKED
        // What a token sees does not depend on how a step is cut: its own key, too, is what the cache will hold.
        fresh[u] = k_kept(fresh[u], most);
#endif
        if (appends) { k_put(from_kv + own, u, fresh[u], most); }
      }
    }
#if PACKED
#if LATENT
#else
    var value_most = 1.0;
    for (var i = 0u; i < VALUE_LOADS; i++) {
      let u = i * WG + lane;
      if (u < VALUE_UNITS) {
        let d = 4u * u;
        fresh_value[u] = vec4<f32>(
          rotated(value, d, own),
          rotated(value, d + 1u, own),
          rotated(value, d + 2u, own),
          rotated(value, d + 3u, own),
        );
      }
    }
#if SCALED
    value_most = 0.0;
    for (var i = 0u; i < VALUE_LOADS; i++) {
      let u = i * WG + lane;
      if (u < VALUE_UNITS) { value_most = max(value_most, largest(fresh_value[u])); }
    }
    value_most = lane_max(value_most, lane);
#endif
    for (var i = 0u; i < VALUE_LOADS; i++) {
      let u = i * WG + lane;
      if (u < VALUE_UNITS) {
        fresh_value[u] = v_kept(fresh_value[u], value_most);
        if (appends) { v_put(from_kv + own, u, fresh_value[u], value_most); }
      }
    }
#endif
#endif
    workgroupBarrier();
    if (lane < ROWS * LANES) {
      var chain = 0.0;
      for (var i = 0u; i < UNIT_TRIPS; i++) {
        let u = i * LANES + lane % LANES;
        if (u < UNITS) { chain += product(queries[lane / LANES * UNITS + u], fresh[u]); }
      }
      shares[lane] = chain;
    }
    workgroupBarrier();
    if (lane < ROWS) {
      var score = 0.0;
      for (var n = 0u; n < LANES; n++) { score += shares[lane * LANES + n]; }
      scores[lane] = scored(score);
      next_max[lane] = max(running_max[lane], scores[lane]);
      decay[lane] = exp(running_max[lane] - next_max[lane]);
      weights[lane] = exp(scores[lane] - next_max[lane]);
      running_max[lane] = next_max[lane];
    }
    workgroupBarrier();
    for (var r = 0u; r < ROWS; r++) { denominator[r] = denominator[r] * decay[r] + weights[r]; }
    for (var i = 0u; i < DIMS; i++) {
      let d = i * WG + lane;
      if (d >= VALUE_SIZE) { continue; }
#if LATENT
      let v = fresh[d / 4u][d % 4u];
#else
#if PACKED
      let v = fresh_value[d / 4u][d % 4u];
#else
      let v = rotated(value, d, own);
      if (appends) { v_put(from_kv + own, d, v, 1.0); }
#endif
#endif
      for (var r = 0u; r < ROWS; r++) { sums[r * DIMS + i] = sums[r * DIMS + i] * decay[r] + weights[r] * v; }
    }
    workgroupBarrier();
  }
#else
  let cached = end;
#endif

#if APPEND_ONLY
#else
  let keys = Keys(from_kv, cached - 1u);
  attend_tiles(keys, begin, cached, lane, &denominator, &sums);

  for (var r = 0u; r < ROWS; r++) {
    let pair = t * HEADS + first_head + r;
    for (var i = 0u; i < DIMS; i++) {
      let d = i * WG + lane;
      if (d >= VALUE_SIZE) { continue; }
#if LATENT
      if (alone) { lifted[d] = sums[r * DIMS + i] / denominator[r]; }
#else
      if (alone) { out[pair * VALUE_SIZE + d] = sums[r * DIMS + i] / denominator[r]; }
#endif
#if SPLIT
      else { partials[(pair * SPLITS + split) * (VALUE_SIZE + 2u) + d] = sums[r * DIMS + i]; }
#endif
    }
#if SPLIT
    if (!alone && lane == 0u) {
      let at = (pair * SPLITS + split) * (VALUE_SIZE + 2u) + VALUE_SIZE;
      partials[at] = next_max[r];
      partials[at + 1u] = denominator[r];
    }
#endif
#if LATENT
    if (alone) {
      if (lane < W_CHUNKS * 32u - VALUE_SIZE) { lifted[VALUE_SIZE + lane] = 0.0; }
      workgroupBarrier();
      raise(first_head + r, 0u, (VALUE + PASS_ROWS - 1u) / PASS_ROWS, pair * VALUE, lane);
    }
#endif
  }
#endif
}
