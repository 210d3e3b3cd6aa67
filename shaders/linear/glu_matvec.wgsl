// linear/glu_matvec: out[t,f] = activate(W[2f] . h[t], W[2f+1] . h[t]), h = x or, with GAMMA,
//   x[t,k] * gamma[k] * rsqrt(mean over k of x[t,k]^2 + EPS). Rows 2f of W are gate, rows 2f+1 up; N = 2F.
// in   x [T,K] f32   W [2F,K] any weight format   gamma [K] f32 optional
// out  out [T,F] f32; [T,2F] where each row gives a value: see shared/activation
// grid [2F / ROWS folded, T], workgroup 64; one workgroup owns ROWS rows of W for one token
// num  as linear/matvec
// cost reads W once a token, and x once a workgroup for each ROWS_PER_LANE rows
// twin src/reference/linear/glu.ts   entry src/kernels/linear/glu.ts
#import shared/fold
#import shared/activation
#import linear/matvec_rows

@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(WG)
fn glu_matvec(
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
  let t = workgroup.z;
  matvec_partials(t, first_row, lane);
  for (var i = 0u; i < (ROWS / 2u + WG - 1u) / WG; i++) {
    let pair = i * WG + lane;
    let f = first_row / 2u + pair;
    if (pair < ROWS / 2u && f < N / 2u) {
      for (var v = 0u; v < PAIR_VALUES; v++) {
        out[(t * PAIR_VALUES + v) * (N / 2u) + f] = activate(v, row_product(0u, 2u * pair), row_product(0u, 2u * pair + 1u));
      }
    }
  }
}
