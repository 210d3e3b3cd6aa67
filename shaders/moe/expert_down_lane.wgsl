// moe/expert_down_lane: what moe/expert_down computes, as software adapters like it: see linear/lane_products
// in   arena (values, scales)   slot_table [E]   x [P,F] f32: act in row order   tiles [1 + bound,4]: see moe/group
// out  y [P,D] f32, in row order; rows whose expert has no slot are left as they are
// grid [D / 128, bound, BM / 4], workgroup 16; a lane owns 8 d of 4 rows of a tile
// num  f32; chunks in k order; same bits every run
// cost reads 8 rows of down and 4 of x for 32 products a lane
// twin src/reference/moe/expert_down.ts   entry src/kernels/moe/expert_down.ts
#import moe/expert_lane

@group(0) @binding(5) var<storage, read_write> y: array<f32>;

fn store(row: u32, d: u32, value: f32, end: u32) {
  if (row < end && d < N) { y[row * N + d] = value; }
}

fn store_each(row: u32, d: u32, slot: u32, product: vec4<f32>, end: u32) {
  let values_of_d = product + slot_bias(slot, d);
  store(row, d, values_of_d.x, end);
  store(row + 1u, d, values_of_d.y, end);
  store(row + 2u, d, values_of_d.z, end);
  store(row + 3u, d, values_of_d.w, end);
}

@compute @workgroup_size(LANES)
fn expert_down_lane(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  if (workgroup.y >= tiles[0].x) { return; }
  let tile = tiles[1u + workgroup.y];
  let first = workgroup.z * 4u;
  let d = (workgroup.x * LANES + lane) * LANE_ROWS;
  if (first >= tile.z || d >= N) { return; }
  let slot = slot_table[tile.x];
  if (slot == MISSING) { return; }
  let products = lane_products(slot_matrix(slot), rows_of_tile(tile, first), d);
  let row = tile.y + first;
  let end = tile.y + tile.z;
  store_each(row, d, slot, products.a, end);
  store_each(row, d + 1u, slot, products.b, end);
  store_each(row, d + 2u, slot, products.c, end);
  store_each(row, d + 3u, slot, products.d, end);
  store_each(row, d + 4u, slot, products.e, end);
  store_each(row, d + 5u, slot, products.f, end);
  store_each(row, d + 6u, slot, products.g, end);
  store_each(row, d + 7u, slot, products.h, end);
}
