// moe/expert_up: act[r,f] = activate(gate_f . x[token(r)] + bias, up_f . x[token(r)] + bias), row by row of each tile, by the tile's expert
// in   arena (values, scales)   slot_table [E]   x [T,D] f32   pair_of_row [P]   tiles [1 + bound,4]: see moe/group
// out  act [P,F] f32, in row order; rows whose expert has no slot are left as they are
// grid [2F / 64, bound], workgroup 64; one workgroup owns 32 f of one tile; those beyond the last tile leave at once
// num  f32 sums over k: quads of 4 in order
// cost reads 64 rows of gate_up and BM rows of x (gathered), writes 32 BM words a workgroup
// twin src/reference/moe/expert_up.ts   entry src/kernels/moe/expert_up.ts
#import shared/activation
#import moe/expert_tile
override TOP_K: u32;

@group(0) @binding(4) var<storage, read> pair_of_row: array<u32>;
@group(0) @binding(5) var<storage, read> tiles: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read_write> act: array<f32>;

const F: u32 = N / 2u;

@compute @workgroup_size(WG)
fn expert_up(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  if (workgroup.y >= tiles[0].x) { return; }
  let tile = tiles[1u + workgroup.y];
  let slot = slot_table[tile.x];
  if (slot == MISSING) { return; }
  let first_f = workgroup.x * (COLUMNS / 2u);
  var tokens: array<u32, LANE_LOADS>;
  for (var i = 0u; i < LANE_LOADS; i++) {
    // Rows beyond the tile repeat its last one; their products are dropped.
    tokens[i] = pair_of_row[tile.y + min(load_row(lane, i), tile.z - 1u)] / TOP_K;
  }
  let sums = tile_products(slot, 2u * first_f, tokens, lane);
  for (var i = 0u; i < LANE_ROWS; i++) {
    let r = tile_row(lane, i);
    for (var j = 0u; j < 2u; j++) {
      let f = first_f + tile_place(lane, j);
      if (r < tile.z && f < F) {
        let gate = sums[i][j] + slot_bias(slot, 2u * f);
        let up = sums[i][j + 2u] + slot_bias(slot, 2u * f + 1u);
        act[(tile.y + r) * F + f] = activate(gate, up);
      }
    }
  }
}
