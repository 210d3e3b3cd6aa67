// linear/matmul: out[t,n] = (sum over k of W[n,k] * x[t,k] + bias[n]) * row_scale[t] * OUT_SCALE + residual[t,n], with GAMMA of the
//   RMS-normed x: see linear/matvec.
//   Reads x at X_AT of rows of X_ROW; writes N values at OUT_AT of rows of OUT_ROW.
// in   x [T,X_ROW] f32   W [N,K] any weight format   bias [N] residual [T,OUT_ROW] row_scale [T] gamma [K] f32, each optional
// out  out [T,OUT_ROW] f32
// grid [N / 64 folded, T / 32], workgroup 64; one workgroup a tile
// num  f32; each product is summed in k order, quad by quad; same bits every run
// cost reads W once for 32 tokens and x once for 64 rows; 7.5 KiB workgroup memory
// twin src/reference/linear/linear.ts   entry src/kernels/linear/linear.ts
#import shared/fold
#if F16
#import linear/matmul_tile_f16
#else
#import linear/matmul_tile
#endif
#import linear/finish

@compute @workgroup_size(WG)
fn matmul(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
#if MATRICES
  @builtin(subgroup_id) subgroup: u32,
  @builtin(num_subgroups) subgroups: u32,
#endif
) {
#if MATRICES
  team = Team(subgroup, subgroups);
#endif
  let first_row = folded(workgroup, workgroups) * TILE_ROWS;
  let first_token = workgroup.z * TILE_TOKENS;
  if (first_row >= N) { return; }
  let products = tile_products(first_token, first_row, lane);
  for (var i = 0u; i < 4u; i++) {
    let t = first_token + tile_token(lane, i);
    if (t < u_step.tokens) {
      for (var j = 0u; j < 4u; j++) {
        let n = first_row + 2u * tile_pair(lane, j);
        if (n < N) { finish(t, t, n, products.even[i][j]); }
        if (n + 1u < N) { finish(t, t, n + 1u, products.odd[i][j]); }
      }
    }
  }
}
