// linear/glu_lane: what linear/glu_matvec computes, as software adapters like it: see linear/lane_products. Rows 2f of W are gate, rows 2f+1 up; N = 2F.
// in   x [T,K] f32   W [2F,K] any weight format   gamma [K] f32 optional
// out  out [T,F] f32; [T,2F] where each row gives a value: see shared/activation
// grid [2F / 64 folded, T], or with BLOCK [2F / 128 folded, T / 4], workgroup 16; a lane owns 4 or 8 rows of W
// num  as linear/matvec_lane
// cost reads W once a token, or once for 4, and x once for 4 or 8 rows
// twin src/reference/linear/glu.ts   entry src/kernels/linear/glu.ts
#import shared/fold
#import shared/activation
#import linear/lane_rows

@group(0) @binding(3) var<storage, read_write> out: array<f32>;

fn store(t: u32, f: u32, gate: f32, up: f32) {
  if (t < u_step.tokens && f < N / 2u) {
    for (var v = 0u; v < PAIR_VALUES; v++) { out[(t * PAIR_VALUES + v) * (N / 2u) + f] = activate(v, gate, up); }
  }
}

#if BLOCK
fn store_each(t: u32, f: u32, gate: Each, up: Each) {
  store(t, f, gate.x, up.x);
  store(t + 1u, f, gate.y, up.y);
  store(t + 2u, f, gate.z, up.z);
  store(t + 3u, f, gate.w, up.w);
}
#else
fn store_each(t: u32, f: u32, gate: Each, up: Each) {
  store(t, f, gate, up);
}
#endif

@compute @workgroup_size(WG)
fn glu_lane(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = (folded(workgroup, workgroups) * WG + lane) * LANE_ROWS;
  if (n >= N) { return; }
  let t = workgroup.z * TOKENS;
  let products = lane_products(0u, rows_from(t), n);
  store_each(t, n / 2u, products.a, products.b);
  store_each(t, n / 2u + 1u, products.c, products.d);
#if BLOCK
  store_each(t, n / 2u + 2u, products.e, products.f);
  store_each(t, n / 2u + 3u, products.g, products.h);
#endif
}
