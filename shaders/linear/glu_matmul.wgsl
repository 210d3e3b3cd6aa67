// linear/glu_matmul: out[t,f] = activate(W[2f] . x[t], W[2f+1] . x[t]). Rows 2f of W are gate, rows 2f+1 up; N = 2F.
//   With GAMMA of the RMS-normed x: see linear/matvec.
// in   x [T,K] f32   W [2F,K] any weight format   gamma [K] f32 optional
// out  out [T,F] f32; [T,2F] where each row gives a value: see shared/activation
// grid [2F / 64 folded, T / 32], workgroup 64; one workgroup a tile
// num  as linear/matmul
// cost as linear/matmul
// twin src/reference/linear/glu.ts   entry src/kernels/linear/glu.ts
#import shared/fold
#import shared/activation
#if F16
#import linear/matmul_tile_f16
#else
#import linear/matmul_tile
#endif

@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(WG)
fn glu_matmul(
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
        let f = first_row / 2u + tile_pair(lane, j);
        if (f < N / 2u) {
          for (var v = 0u; v < PAIR_VALUES; v++) {
            out[(t * PAIR_VALUES + v) * (N / 2u) + f] = activate(v, products.even[i][j], products.odd[i][j]);
          }
        }
      }
    }
  }
}
