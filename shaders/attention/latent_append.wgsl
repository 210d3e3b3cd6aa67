// attention/latent_append: per-head q, k, v of latent attention; the rope part of q turns, k = [own nope part ; the token's shared rope key, turned]
// in   q [T,Q_ROW] f32: HEADS (NOPE + ROPE) values at Q_AT   kv_up [T,UP_ROW] f32: HEADS (NOPE + VALUE) values at UP_AT: nope key, value
//      down [T,DOWN_ROW] f32: ROPE values at KEY_AT   rope [positions, 2, PAIRS] f32
// out  q_out [T,HEADS,NOPE+ROPE] f32   k_cache [HEADS,CAPACITY,NOPE+ROPE], v_cache [HEADS,CAPACITY,VALUE] f32, at position .. position + T - 1
// grid [T HEADS folded], workgroup 64; one workgroup a head of a token
// num  two products a turned value; cos and sin were computed in doubles
// cost reads about 2 and writes 1 word a value
// twin src/reference/attention/latent_append.ts   entry src/kernels/attention/latent_append.ts
#import shared/step
#import shared/fold
#import shared/rope
override HEADS: u32;
override NOPE: u32;
override ROPE: u32;
override VALUE: u32;
override CAPACITY: u32;
override Q_ROW: u32;
override Q_AT: u32;
override UP_ROW: u32;
override UP_AT: u32;
override DOWN_ROW: u32;
override KEY_AT: u32;

@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> kv_up: array<f32>;
@group(0) @binding(2) var<storage, read> down: array<f32>;
@group(0) @binding(3) var<storage, read> rope: array<f32>;
@group(0) @binding(4) var<storage, read_write> q_out: array<f32>;
@group(0) @binding(5) var<storage, read_write> k_cache: array<f32>;
@group(0) @binding(6) var<storage, read_write> v_cache: array<f32>;

const WG: u32 = 64u;
const KEY: u32 = NOPE + ROPE;
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
  let position = u_step.position + t;
  let from_q = t * Q_ROW + Q_AT + h * KEY;
  let from_up = t * UP_ROW + UP_AT + h * (NOPE + VALUE);
  let from_key = t * DOWN_ROW + KEY_AT;
  let to_k = (h * CAPACITY + position) * KEY;
  let to_v = (h * CAPACITY + position) * VALUE;

  for (var i = 0u; i < KEY_TRIPS; i++) {
    let d = i * WG + lane;
    if (d >= KEY) { continue; }
    if (d < NOPE) {
      q_out[id * KEY + d] = q[from_q + d];
      k_cache[to_k + d] = kv_up[from_up + d];
      continue;
    }
    let r = d - NOPE;
    if (r >= 2u * PAIRS) {
      q_out[id * KEY + d] = q[from_q + d];
      k_cache[to_k + d] = down[from_key + r];
      continue;
    }
    let pair = pair_of(r);
    let low = low_of(pair);
    let high = high_of(pair);
    let cosine = rope[position * 2u * PAIRS + pair];
    let sine = rope[position * 2u * PAIRS + PAIRS + pair];
    q_out[id * KEY + d] = turned(r, q[from_q + NOPE + low], q[from_q + NOPE + high], cosine, sine);
    k_cache[to_k + d] = turned(r, down[from_key + low], down[from_key + high], cosine, sine);
  }
  for (var i = 0u; i < VALUE_TRIPS; i++) {
    let d = i * WG + lane;
    if (d < VALUE) { v_cache[to_v + d] = kv_up[from_up + NOPE + d]; }
  }
}
