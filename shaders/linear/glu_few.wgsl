// linear/glu_few: what linear/glu_matvec computes, for 2 to COLUMNS tokens: see linear/few_rows. Rows 2f of W are gate, rows 2f+1 up; N = 2F.
// in   x [T,K] f32   W [2F,K] any weight format   gamma [K] f32 optional
// out  out [T,F] f32; [T,2F] where each row gives a value: see shared/activation
// grid [2F / ROWS folded, T / COLUMNS], workgroup 64; one workgroup owns ROWS rows of W for COLUMNS tokens
// num  as linear/matvec_few
// cost reads W once for COLUMNS tokens, and x once a workgroup
// twin src/reference/linear/glu.ts   entry src/kernels/linear/glu.ts
#import shared/fold
#import shared/activation
#import linear/few_rows

@group(0) @binding(3) var<storage, read_write> out: array<f32>;

const OUTPUTS: u32 = ROWS / 2u;

fn store(t: u32, column: u32, first_row: u32, pair: u32) {
  let f = first_row / 2u + pair;
  if (f < N / 2u) {
    for (var v = 0u; v < PAIR_VALUES; v++) {
      out[(t * PAIR_VALUES + v) * (N / 2u) + f] = activate(v, row_product(column, 2u * pair), row_product(column, 2u * pair + 1u));
    }
  }
}

@compute @workgroup_size(WG)
fn glu_few(
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
