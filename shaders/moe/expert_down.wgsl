// moe/expert_down: y[r,d] = down_d . x[r] + bias_d, row by row of each tile, by the tile's expert
// in   arena (values, scales)   slot_table [E]   x [P,F] f32: act in row order   tiles [1 + bound,4]: see moe/group
// out  y [P,D] f32, in row order; rows whose expert has no slot are left as they are
// grid [D / 64, bound], workgroup 64; one workgroup owns 64 d of one tile; those beyond the last tile leave at once
// num  f32 sums over k: quads of 4 in order
// cost reads 64 rows of down and BM rows of x, writes 64 BM words a workgroup
// twin src/reference/moe/expert_down.ts   entry src/kernels/moe/expert_down.ts
#import moe/expert_tile

@group(0) @binding(4) var<storage, read> tiles: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn expert_down(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  if (workgroup.y >= tiles[0].x) { return; }
  let tile = tiles[1u + workgroup.y];
  let slot = slot_table[tile.x];
  if (slot == MISSING) { return; }
  let first_d = workgroup.x * COLUMNS;
  var rows: array<u32, LANE_LOADS>;
  for (var i = 0u; i < LANE_LOADS; i++) {
    // Rows beyond the tile repeat its last one; their products are dropped.
    rows[i] = tile.y + min(load_row(lane, i), tile.z - 1u);
  }
  let sums = tile_products(slot, first_d, rows, lane);
  for (var i = 0u; i < LANE_ROWS; i++) {
    let r = tile_row(lane, i);
    for (var j = 0u; j < 4u; j++) {
      let d = first_d + tile_place(lane, j);
      if (r < tile.z && d < N) { y[(tile.y + r) * N + d] = sums[i][j] + slot_bias(slot, d); }
    }
  }
}
