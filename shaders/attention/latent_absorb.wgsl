// attention/latent_absorb: queries of latent attention for attention over latents, q_out[t,h] = [W_k^T of the nope part ; the rope part, turned], and
//   the step's own rows of the cache: see attention/kv_up and attention/latent_row
// in   q_raw [T,Q_ROW] f32: HEADS (NOPE + ROPE) values   down [T,DOWN_ROW] f32: the latent and the rope key   W any weight format   rope, kv_gamma f32
// out  q_out [T,HEADS,KV_RANK + ROPE] f32   k_cache [CAPACITY,KV_RANK + ROPE], see kv/, at positions position .. position + T - 1; with PAGED
//      [pages,PAGE,KV_RANK + ROPE], at the place that `rows` (shared/place) names for each token
// grid [1 + HEADS (W_CHUNKS + 1) / 64 folded, T / TOKENS], workgroup 64; the first workgroup appends; then a lane has 32 columns of a head, or its rope part,
//      for TOKENS tokens
// num  f32, rows of W in order; same bits every run; no barriers, which software adapters pay for
// cost reads W's key rows once for TOKENS tokens
// twin src/reference/attention/latent.ts   entry src/kernels/attention/latent.ts
#import shared/step
#import shared/fold
#import attention/kv_up
#import attention/latent_row
#import kv_format as k_
#import shared/place
override HEADS: u32;
override HEAD_AT: u32; // heads are those from here on of HEADS in all
override OWN_HEADS: u32;
override Q_ROW: u32;
override APPENDS: u32; // 1: the step's own rows are written, too

@group(0) @binding(0) var<storage, read> q_raw: array<f32>;
@group(0) @binding(1) var<storage, read_write> q_out: array<f32>;
@group(0) @binding(2) var<storage, read_write> k_cache: array<k_Cell>;
@group(0) @binding(3) var<storage, read> down: array<f32>;

const WG: u32 = 64u;
const KEY: u32 = KV_RANK + ROPE;
const CACHED: u32 = 1u;
#if BLOCK
const TOKENS: u32 = 4u;
#else
const TOKENS: u32 = 1u;
#endif

fn down_value(at: u32) -> f32 { return down[at]; }

/// All of the step's token t, by one workgroup; every lane works out the norm for itself.
fn append(t: u32, lane: u32) {
  var square = 0.0;
  for (var k = 0u; k < KV_RANK; k++) {
    let x = down[t * DOWN_ROW + LATENT_AT + k];
    square += x * x;
  }
  let scale = inverseSqrt(square / f32(KV_RANK) + EPS);
  let position = position_of(t);
  let to = cache_row(0u, t);
  var most = 1.0;
#if SCALED
  most = 0.0;
  for (var d = 0u; d < KEY; d++) { most = max(most, abs(latent_value(t, d, scale, position))); }
#endif
#if UNITS_OF_4
  for (var i = 0u; i < (KEY / 4u + WG - 1u) / WG; i++) {
    let u = i * WG + lane;
    if (u < KEY / 4u) { k_put(to, u, latent_unit(t, u, scale, position), most); }
  }
#else
  for (var i = 0u; i < (KEY + WG - 1u) / WG; i++) {
    let d = i * WG + lane;
    if (d < KEY) { k_put(to, d, latent_value(t, d, scale, position), most); }
  }
#endif
}

fn store(t: u32, head: u32, chunk: u32, sum: array<vec4<f32>, 8>) {
  if (t >= u_step.tokens) { return; }
  let to = (t * HEADS + HEAD_AT + head) * KEY;
  var values_of = sum;
  for (var i = 0u; i < 32u; i++) {
    let d = chunk * 32u + i;
    if (d < KV_RANK) { q_out[to + d] = values_of[i / 4u][i % 4u]; }
  }
}

fn turn(t: u32, head: u32) {
  let start = t * Q_ROW + (HEAD_AT + head) * (NOPE + ROPE) + NOPE;
  let to = (t * HEADS + HEAD_AT + head) * KEY + KV_RANK;
  for (var r = 0u; r < ROPE; r++) { q_out[to + r] = turned_query(start, r, position_of(t)); }
}

@compute @workgroup_size(WG)
fn latent_absorb(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let id = folded(workgroup, workgroups);
  let first = workgroup.z * TOKENS;
  let last = u_step.tokens - 1u;
  if (id == 0u) {
    if (APPENDS == 1u) { for (var t = first; t <= min(first + TOKENS - 1u, last); t++) { append(t, lane); } }
    return;
  }
  let at = (id - 1u) * WG + lane;
  let head = at / (W_CHUNKS + 1u);
  let chunk = at % (W_CHUNKS + 1u);
  if (head >= OWN_HEADS) { return; }
  if (chunk == W_CHUNKS) {
    for (var t = first; t <= min(first + TOKENS - 1u, last); t++) { turn(t, head); }
    return;
  }
  // Tokens past the last repeat it; they are not stored.
  let t = min(vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(last));
  let start = t * Q_ROW + vec4<u32>((HEAD_AT + head) * (NOPE + ROPE));
  var a = array<vec4<f32>, 8>();
#if BLOCK
  var b = array<vec4<f32>, 8>();
  var c = array<vec4<f32>, 8>();
  var d = array<vec4<f32>, 8>();
#endif
  for (var n = 0u; n < NOPE; n++) {
    let row = head * HEAD_ROWS + n;
    let w = unscaled32(0u, row, chunk);
    let scale = weight_scale(0u, row, chunk);
    a = plus(a, q_raw[start.x + n] * scale, w);
#if BLOCK
    b = plus(b, q_raw[start.y + n] * scale, w);
    c = plus(c, q_raw[start.z + n] * scale, w);
    d = plus(d, q_raw[start.w + n] * scale, w);
#endif
  }
  store(first, head, chunk, a);
#if BLOCK
  store(first + 1u, head, chunk, b);
  store(first + 2u, head, chunk, c);
  store(first + 3u, head, chunk, d);
#endif
}
