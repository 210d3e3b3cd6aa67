// linear/matvec_few: what linear/matvec computes, for 2 to COLUMNS tokens: see linear/few_rows
// in   x [T,X_ROW] f32   W [N,K] any weight format   bias [N] residual [T,OUT_ROW] row_scale [T] gamma [K] f32, each optional
// out  out [T,OUT_ROW] f32
// grid [N / ROWS folded, T / COLUMNS], workgroup 64; one workgroup owns ROWS rows of W for COLUMNS tokens
// num  f32; the order of linear/matvec for each token, and its bits
// cost reads W once for COLUMNS tokens, and x once a workgroup
// twin src/reference/linear/linear.ts   entry src/kernels/linear/linear.ts
#import shared/fold
#import linear/few_rows
#import linear/finish

const OUTPUTS: u32 = ROWS;

fn store(t: u32, column: u32, first_row: u32, row: u32) {
  let n = first_row + row;
  if (n < N) { finish(t, t, n, row_product(column, row)); }
}

@compute @workgroup_size(WG)
fn matvec_few(
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
  few_products(workgroup.z * COLUMNS, folded(workgroup, workgroups) * ROWS, lane);
}
