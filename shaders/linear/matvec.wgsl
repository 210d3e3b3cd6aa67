// linear/matvec: out[t,n] = (sum over k of W[n,k] * h[t,k] + bias[n]) * row_scale[t] * OUT_SCALE + residual[t,n], h = x or, with GAMMA,
//   x[t,k] * gamma[k] * rsqrt(mean over k of x[t,k]^2 + EPS). Reads x at X_AT of rows of X_ROW; writes N values at OUT_AT of rows of OUT_ROW.
//   PASSES copies PASS_COUNT values at PASS_AT of a row of x to PASS_TO of the row of out: for a reader that wants both in one buffer.
//   LAST computes only token T-1, into row 0 of out (and from row 0 of residual).
// in   x [T,X_ROW] f32   W [N,K] any weight format   bias [N] residual [T,OUT_ROW] row_scale [T] gamma [K] f32, each optional
// out  out [T,OUT_ROW] f32
// grid [N / ROWS folded, T], workgroup 64; one workgroup owns ROWS rows of W for one token
// num  f32; a lane sums its chunks in k order, then the lanes of a row are added in lane order; same bits every run
// cost reads W once a token, and x once a workgroup for each ROWS_PER_LANE rows
// twin src/reference/linear/linear.ts   entry src/kernels/linear/linear.ts
#import shared/fold
#import linear/matvec_rows
#import linear/finish
#if LAST
#import shared/step
#endif

#if PASSES
override PASS_AT: u32;
override PASS_TO: u32;
override PASS_COUNT: u32;

fn pass_on(t: u32, lane: u32) {
  for (var i = 0u; i < (PASS_COUNT + WG - 1u) / WG; i++) {
    let at = i * WG + lane;
    let start = t * X_ROW + PASS_AT + at;
#if X_VEC4
    if (at < PASS_COUNT) { out[t * OUT_ROW + PASS_TO + at] = x[start / 4u][start % 4u]; }
#else
    if (at < PASS_COUNT) { out[t * OUT_ROW + PASS_TO + at] = x[start]; }
#endif
  }
}
#endif

@compute @workgroup_size(WG)
fn matvec(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
#if SUBGROUPS
  @builtin(subgroup_size) subgroup_size: u32,
#endif
) {
#if SUBGROUPS
  subgroup = subgroup_size;
#endif
  let first_row = folded(workgroup, workgroups) * ROWS;
  if (first_row >= N) { return; }
#if LAST
  let t = u_step.tokens - 1u;
#else
  let t = workgroup.z;
#endif
#if PASSES
  if (first_row == 0u) { pass_on(t, lane); }
#endif
  matvec_partials(t, first_row, lane);
  for (var i = 0u; i < (ROWS + WG - 1u) / WG; i++) {
    let row = i * WG + lane;
    let n = first_row + row;
    if (row < ROWS && n < N) { finish(workgroup.z, t, n, row_product(0u, row)); }
  }
}
