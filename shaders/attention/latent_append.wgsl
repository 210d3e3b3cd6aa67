// attention/latent_append: per-head q, k, v of latent attention; the rope part of q turns, k = [own nope part ; the token's shared rope key, turned]
// in   q_raw [T,Q_ROW] f32: HEADS (NOPE + ROPE) values at Q_AT   kv_up [T,UP_ROW] f32: HEADS (NOPE + VALUE) values at UP_AT: nope key, value
//      down [T,DOWN_ROW] f32: ROPE values at KEY_AT   rope [positions, 2, PAIRS] f32
// out  q_out [T,HEADS,NOPE+ROPE] f32   k_cache [HEADS,CAPACITY,NOPE+ROPE], v_cache [HEADS,CAPACITY,VALUE] f32, at position .. position + T - 1;
//      with PAGED [pages,HEADS,PAGE,...], at the place that `rows` (shared/place) names for each token
// grid [T HEADS folded], workgroup 64; one workgroup a head of a token
// num  two products a turned value; cos and sin were computed in doubles
// cost reads about 2 and writes 1 word a value
// twin src/reference/attention/latent_append.ts   entry src/kernels/attention/latent_append.ts
#import shared/step
#import shared/fold
#import attention/latent_heads
#import shared/place
override HEADS: u32;

@group(0) @binding(1) var<storage, read_write> q_out: array<f32>;
@group(0) @binding(2) var<storage, read_write> k_cache: array<f32>;
@group(0) @binding(3) var<storage, read_write> v_cache: array<f32>;

const WG: u32 = 64u;
const CACHED: u32 = HEADS;
const KEY_TRIPS: u32 = (KEY + WG - 1u) / WG;
const VALUE_TRIPS: u32 = (VALUE + WG - 1u) / WG;

@compute @workgroup_size(WG)
fn latent_append(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let id = folded(workgroup, workgroups);
  let t = id / HEADS;
  let h = id % HEADS;
  if (t >= u_step.tokens) { return; }
  let position = position_of(t);
  let to_k = cache_row(h, t) * KEY;
  let to_v = cache_row(h, t) * VALUE;
  for (var i = 0u; i < KEY_TRIPS; i++) {
    let d = i * WG + lane;
    if (d < KEY) {
      q_out[id * KEY + d] = rotated(head_at(t, h), d, position);
      k_cache[to_k + d] = rotated(head_at(t, HEADS + h), d, position);
    }
  }
  for (var i = 0u; i < VALUE_TRIPS; i++) {
    let d = i * WG + lane;
    if (d < VALUE) { v_cache[to_v + d] = rotated(head_at(t, 2u * HEADS + h), d, position); }
  }
}
