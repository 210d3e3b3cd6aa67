// moe/expert_up: act[r,f] = activate(gate_f . x[token(r)] + bias, up_f . x[token(r)] + bias), row by row of each tile, by the tile's expert
//   with BESIDE also act = activate(gate_f . x[t], up_f . x[t]) by the expert beside, of each token
// in   arena (values, scales)   slot_table [E]   x [T,D] f32   pair_of_row [P]   tiles [1 + bound,4]: see moe/group   beside_values
// out  act [P,F] f32, in row order; rows whose expert has no slot are left as they are; with BESIDE, [T,BESIDE_F] from BESIDE_AT on; rows are twice
//      as long where each row of a matrix gives a value: see shared/activation
// grid [2F / 64, BESIDE_Y T / BM + bound], workgroup 64; one workgroup owns 32 f of one tile; those beyond the last tile leave at once
//      with BESIDE the tokens' own tiles come first, BESIDE_Y times for all its columns; they leave when slot_table[E] is not missing
// num  f32 sums over k: quads of 4 in order; with F16 as linear/matmul_tile_f16
// cost reads 64 rows of gate_up and BM rows of x (gathered), writes 32 BM words a workgroup
// twin src/reference/moe/expert_up.ts   entry src/kernels/moe/expert_up.ts
#import shared/activation
#import moe/expert_tile
override TOP_K: u32;

@group(0) @binding(4) var<storage, read> pair_of_row: array<u32>;
@group(0) @binding(5) var<storage, read> tiles: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read_write> act: array<f32>;

const F: u32 = N / 2u;

#if BESIDE
#import shared/step
#import moe/beside
#import moe/tile_products as beside_
override E: u32;
override BESIDE_F: u32;
override BESIDE_AT: u32;
override BESIDE_Y: u32;

/// 32 values from first_f on, of BM tokens.
fn expert_beside(first_t: u32, first_f: u32, lane: u32) {
  if (first_f >= BESIDE_F || slot_table[E] != MISSING) { return; }
  var tokens: array<u32, LANE_LOADS>;
  for (var i = 0u; i < LANE_LOADS; i++) { tokens[i] = min(first_t + load_row(lane, i), u_step.tokens - 1u); }
  let sums = beside_tile_products(0u, 2u * first_f, u_step.tokens - first_t, tokens, lane);
  for (var i = 0u; i < LANE_ROWS; i++) {
    let t = first_t + tile_row(lane, i);
    for (var j = 0u; j < 2u; j++) {
      let f = first_f + tile_place(lane, j);
      if (t < u_step.tokens && f < BESIDE_F) {
        for (var v = 0u; v < PAIR_VALUES; v++) {
          act[BESIDE_AT + (t * PAIR_VALUES + v) * BESIDE_F + f] = activate(v, sums[i][j], sums[i][j + 2u]);
        }
      }
    }
  }
}
#endif

@compute @workgroup_size(WG)
fn expert_up(
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
  if (workgroup.y < BESIDE_Y * token_tiles) {
    let column = workgroup.y / token_tiles * ((N + COLUMNS - 1u) / COLUMNS) + workgroup.x;
    expert_beside(workgroup.y % token_tiles * BM, column * (COLUMNS / 2u), lane);
    return;
  }
  let at = workgroup.y - BESIDE_Y * token_tiles;
#else
  let at = workgroup.y;
#endif
  if (at >= tiles[0].x) { return; }
  let tile = tiles[1u + at];
  let slot = slot_table[tile.x];
  if (slot == MISSING) { return; }
  let first_f = workgroup.x * (COLUMNS / 2u);
  var tokens: array<u32, LANE_LOADS>;
  for (var i = 0u; i < LANE_LOADS; i++) {
    // Rows beyond the tile repeat its last one; their products are dropped.
    tokens[i] = pair_of_row[tile.y + min(load_row(lane, i), tile.z - 1u)] / TOP_K;
  }
  let sums = tile_products(slot_matrix(slot), 2u * first_f, tile.z, tokens, lane);
  for (var i = 0u; i < LANE_ROWS; i++) {
    let r = tile_row(lane, i);
    for (var j = 0u; j < 2u; j++) {
      let f = first_f + tile_place(lane, j);
      if (r < tile.z && f < F) {
        let gate = sums[i][j] + slot_bias(slot, 2u * f);
        let up = sums[i][j + 2u] + slot_bias(slot, 2u * f + 1u);
        for (var v = 0u; v < PAIR_VALUES; v++) { act[((tile.y + r) * PAIR_VALUES + v) * F + f] = activate(v, gate, up); }
      }
    }
  }
}
