// linear/matvec_lane: what linear/matvec computes, as software adapters like it: see linear/lane_products. LAST: only token T-1, into row 0 of out.
// in   x [T,X_ROW] f32   W [N,K] any weight format   bias [N] residual [T,OUT_ROW] row_scale [T] gamma [K] f32, each optional
// out  out [T,OUT_ROW] f32
// grid [N / 64 folded, T], or with BLOCK [N / 128 folded, T / 4], workgroup 16; a lane owns 4 or 8 rows of W
// num  f32; chunks in k order; same bits every run
// cost reads W once a token, or once for 4, and x once for 4 or 8 rows
// twin src/reference/linear/linear.ts   entry src/kernels/linear/linear.ts
#import shared/fold
#import linear/lane_rows
#import linear/finish

fn store(row: u32, t: u32, n: u32, product: f32) {
  if (t < u_step.tokens && n < N) { finish(row, t, n, product); }
}

#if BLOCK
fn store_each(row: u32, t: u32, n: u32, products: Each) {
  store(row, t, n, products.x);
  store(row + 1u, t + 1u, n, products.y);
  store(row + 2u, t + 2u, n, products.z);
  store(row + 3u, t + 3u, n, products.w);
}
#else
fn store_each(row: u32, t: u32, n: u32, product: Each) {
  store(row, t, n, product);
}
#endif

@compute @workgroup_size(WG)
fn matvec_lane(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = (folded(workgroup, workgroups) * WG + lane) * LANE_ROWS;
  if (n >= N) { return; }
  let row = workgroup.z * TOKENS;
#if LAST
  let t = u_step.tokens - 1u;
#else
  let t = row;
#endif
  let products = lane_products(0u, rows_from(t), n);
  store_each(row, t, n, products.a);
  store_each(row, t, n + 1u, products.b);
  store_each(row, t, n + 2u, products.c);
  store_each(row, t, n + 3u, products.d);
#if BLOCK
  store_each(row, t, n + 4u, products.e);
  store_each(row, t, n + 5u, products.f);
  store_each(row, t, n + 6u, products.g);
  store_each(row, t, n + 7u, products.h);
#endif
}
