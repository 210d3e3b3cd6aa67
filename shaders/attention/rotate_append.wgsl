// attention/rotate_append: q, k, v of each token, RMS-normed (q, k), clamped (q, k, v) and turned by RoPE (q, k); q goes out, k and v into the caches
//   formulas: see attention/grouped_heads
// in   qkv [T,QKV_ROW] f32: q heads, k heads, v heads   q_gamma [Q_NORM] f32   k_gamma [K_NORM] f32   rope [positions, 2, PAIRS] f32
// out  q [T,HEADS,SIZE] f32   k_cache, v_cache [KV_HEADS,CAPACITY,SIZE], see kv/, at positions position .. position + T - 1;
//      with PAGED [pages,KV_HEADS,PAGE,SIZE], at the place that `rows` (shared/place) names for each token
// grid [T (HEADS + 2 KV_HEADS) folded], workgroup 64; one workgroup a head of a token
// num  f32 sums: per lane in order, then a fixed tree; cos and sin were computed in doubles
// cost reads 3 and writes 1 word a value; a norm over the whole projection reads it once more for every head
// twin src/reference/attention/rotate_append.ts   entry src/kernels/attention/rotate_append.ts
#import shared/step
#import shared/fold
#import attention/grouped_heads
#import shared/place
override HEADS: u32;
override KV_HEADS: u32;

@group(0) @binding(1) var<storage, read_write> q: array<f32>;
#import kv_format as k_
@group(0) @binding(2) var<storage, read_write> k_cache: array<k_Cell>;
#import kv_format as v_
@group(0) @binding(3) var<storage, read_write> v_cache: array<v_Cell>;

const WG: u32 = 64u;
const CACHED: u32 = KV_HEADS;
const ALL_HEADS: u32 = HEADS + 2u * KV_HEADS;
const TRIPS: u32 = (SIZE + WG - 1u) / WG;
var<workgroup> partial: array<f32, WG>;

#if PACKED
const UNITS: u32 = SIZE / 4u;
const UNIT_TRIPS: u32 = (UNITS + WG - 1u) / WG;

fn unit_of(head: Head, u: u32, position: u32) -> vec4<f32> {
  let d = 4u * u;
  return vec4<f32>(
    rotated(head, d, position),
    rotated(head, d + 1u, position),
    rotated(head, d + 2u, position),
    rotated(head, d + 3u, position),
  );
}

/// A whole head into its row of a cache. All lanes call it together.
fn append(head: Head, row: u32, lane: u32, position: u32) {
  var most = 1.0;
#if SCALED
  var top = vec4<f32>();
  for (var i = 0u; i < UNIT_TRIPS; i++) {
    let u = i * WG + lane;
    if (u < UNITS) { top = max(top, abs(unit_of(head, u, position))); }
  }
  workgroupBarrier();
  partial[lane] = max(max(top.x, top.y), max(top.z, top.w));
  workgroupBarrier();
  most = 0.0;
  for (var i = 0u; i < WG; i++) { most = max(most, partial[i]); }
#endif
  for (var i = 0u; i < UNIT_TRIPS; i++) {
    let u = i * WG + lane;
    if (u < UNITS) {
      let x = unit_of(head, u, position);
      if (head.is_v) { v_put(row, u, x, most); } else { k_put(row, u, x, most); }
    }
  }
}
#endif

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
  let position = position_of(t);
  var head = head_at(t, h);

#if NORMED
  partial[lane] = square_share(head, lane, position);
  workgroupBarrier();
  for (var width = WG / 2u; width > 0u; width >>= 1u) {
    if (lane < width) { partial[lane] += partial[lane + width]; }
    workgroupBarrier();
  }
  head.scale = norm_scale(head, partial[0]);
#endif

#if PACKED
  if (h >= HEADS) {
    let kv_head = h - HEADS - select(0u, KV_HEADS, head.is_v);
    append(head, cache_row(kv_head, t), lane, position);
    return;
  }
#endif
  for (var i = 0u; i < TRIPS; i++) {
    let d = i * WG + lane;
    if (d >= SIZE) { continue; }
    let value = rotated(head, d, position);
    if (head.is_q) { q[(t * HEADS + h) * SIZE + d] = value; }
#if PACKED
#else
    else if (head.is_v) { v_put(cache_row(h - HEADS - KV_HEADS, t), d, value, 1.0); }
    else { k_put(cache_row(h - HEADS, t), d, value, 1.0); }
#endif
  }
}
