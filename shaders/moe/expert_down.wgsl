// moe/expert_down: y[r,d] = down_d . x[r] + bias_d, row by row of each tile, by the tile's expert
//   with BESIDE also y = down_d . act[t] by the expert beside, of each token
// in   arena (values, scales)   slot_table [E]   x [P,F] f32: act in row order   tiles [1 + bound,4]: see moe/group
//      with BESIDE, x goes on with [T,BESIDE_F] from beside_X_AT on   beside_values
// out  y [P,D] f32, in row order; rows whose expert has no slot are left as they are; with BESIDE, [T,D] from BESIDE_AT on
// grid [D / 64, T / BM + bound], workgroup 64; one workgroup owns 64 d of one tile; those beyond the last tile leave at once
//      with BESIDE the tokens' own tiles come first; they leave when slot_table[E] is not missing
// num  f32 sums over k: quads of 4 in order; with F16 as linear/matmul_tile_f16
// cost reads 64 rows of down and BM rows of x, writes 64 BM words a workgroup
// twin src/reference/moe/expert_down.ts   entry src/kernels/moe/expert_down.ts
#import moe/expert_tile

@group(0) @binding(4) var<storage, read> tiles: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

#if BESIDE
#import shared/step
#import moe/beside
#import moe/tile_products as beside_
override E: u32;
override BESIDE_AT: u32;

/// 64 values from first_d on, of BM tokens.
fn expert_beside(first_t: u32, first_d: u32, lane: u32) {
  if (slot_table[E] != MISSING) { return; }
  var tokens: array<u32, LANE_LOADS>;
  for (var i = 0u; i < LANE_LOADS; i++) { tokens[i] = min(first_t + load_row(lane, i), u_step.tokens - 1u); }
  let sums = beside_tile_products(0u, first_d, u_step.tokens - first_t, tokens, lane);
  for (var i = 0u; i < LANE_ROWS; i++) {
    let t = first_t + tile_row(lane, i);
    for (var j = 0u; j < 4u; j++) {
      let d = first_d + tile_place(lane, j);
      if (t < u_step.tokens && d < N) { y[BESIDE_AT + t * N + d] = sums[i][j]; }
    }
  }
}
#endif

@compute @workgroup_size(WG)
fn expert_down(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
#if MATRICES
  @builtin(subgroup_id) subgroup: u32,
  @builtin(num_subgroups) subgroups: u32,
#endif
) {
#if MATRICES
  team = Team(subgroup, subgroups);
#endif
#if BESIDE
  let token_tiles = (u_step.tokens + BM - 1u) / BM;
  if (workgroup.y < token_tiles) {
    expert_beside(workgroup.y * BM, workgroup.x * COLUMNS, lane);
    return;
  }
  let at = workgroup.y - token_tiles;
#else
  let at = workgroup.y;
#endif
  if (at >= tiles[0].x) { return; }
  let tile = tiles[1u + at];
  let slot = slot_table[tile.x];
  if (slot == MISSING) { return; }
  let first_d = workgroup.x * COLUMNS;
  var rows: array<u32, LANE_LOADS>;
  for (var i = 0u; i < LANE_LOADS; i++) {
    // Rows beyond the tile repeat its last one; their products are dropped.
    rows[i] = tile.y + min(load_row(lane, i), tile.z - 1u);
  }
  let sums = tile_products(slot_matrix(slot), first_d, tile.z, rows, lane);
  for (var i = 0u; i < LANE_ROWS; i++) {
    let r = tile_row(lane, i);
    for (var j = 0u; j < 4u; j++) {
      let d = first_d + tile_place(lane, j);
      if (r < tile.z && d < N) { y[(tile.y + r) * N + d] = sums[i][j] + slot_bias(slot, d); }
    }
  }
}
