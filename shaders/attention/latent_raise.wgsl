// attention/latent_raise: out[t,h] = W_v attended[t,h], what attention gives of latents through the value rows of each head: see attention/kv_up
// in   x [T,HEADS,K] f32, K = KV_RANK   W [heads (NOPE + VALUE), K] any weight format
// out  out [T,HEADS,VALUE] f32
// grid [OWN_HEADS ceil(VALUE / LANE_ROWS) / 16 folded, T, or with BLOCK T / 4], workgroup 16; a lane owns 4 or 8 rows of a head: see linear/lane_products
// num  f32; chunks in k order; same bits every run
// cost reads W's value rows once a token, or once for 4
// twin src/reference/attention/latent.ts   entry src/kernels/attention/latent.ts
#import shared/step
#import shared/fold
#import linear/lane_products
override HEADS: u32;
override HEAD_AT: u32; // heads are those from here on of HEADS in all
override OWN_HEADS: u32;
override NOPE: u32;
override VALUE: u32;

@group(0) @binding(1) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

fn scale_word(at: u32) -> u32 { return values[at / 4u][at % 4u]; }

const WG: u32 = 16u;
const HEAD_LANES: u32 = (VALUE + LANE_ROWS - 1u) / LANE_ROWS;

fn store(t: u32, head: u32, v: u32, product: f32) {
  if (t < u_step.tokens && v < VALUE) { out[(t * HEADS + head) * VALUE + v] = product; }
}

#if BLOCK
const TOKENS: u32 = 4u;

/// Tokens beyond the last repeat it.
fn rows_of(t: u32, head: u32) -> Rows {
  return min(vec4<u32>(t, t + 1u, t + 2u, t + 3u), vec4<u32>(u_step.tokens - 1u)) * HEADS + head;
}

fn store_each(t: u32, head: u32, v: u32, products: Each) {
  store(t, head, v, products.x);
  store(t + 1u, head, v, products.y);
  store(t + 2u, head, v, products.z);
  store(t + 3u, head, v, products.w);
}
#else
const TOKENS: u32 = 1u;

fn rows_of(t: u32, head: u32) -> Rows {
  return t * HEADS + head;
}

fn store_each(t: u32, head: u32, v: u32, product: Each) {
  store(t, head, v, product);
}
#endif

@compute @workgroup_size(WG)
fn latent_raise(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let at = folded(workgroup, workgroups) * WG + lane;
  let own = at / HEAD_LANES;
  if (own >= OWN_HEADS) { return; }
  let head = HEAD_AT + own;
  let v = at % HEAD_LANES * LANE_ROWS;
  let t = workgroup.z * TOKENS;
  let p = lane_products(0u, rows_of(t, head), own * (NOPE + VALUE) + NOPE + v);
  store_each(t, head, v, p.a);
  store_each(t, head, v + 1u, p.b);
  store_each(t, head, v + 2u, p.c);
  store_each(t, head, v + 3u, p.d);
#if BLOCK
  store_each(t, head, v + 4u, p.e);
  store_each(t, head, v + 5u, p.f);
  store_each(t, head, v + 6u, p.g);
  store_each(t, head, v + 7u, p.h);
#endif
}
