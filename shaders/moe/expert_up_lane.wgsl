// moe/expert_up_lane: what moe/expert_up computes, as software adapters like it: see linear/lane_products
// in   arena (values, scales)   slot_table [E]   x [T,D] f32   pair_of_row [P]   tiles [1 + bound,4]: see moe/group
// out  act [P,F] f32, in row order; rows whose expert has no slot are left as they are; [P,2F] where each row of a matrix gives a value: see
//      shared/activation
// grid [2F / 128, bound, BM / 4], workgroup 16; a lane owns 4 f of 4 rows of a tile
// num  f32; chunks in k order; same bits every run
// cost reads 8 rows of gate_up and 4 of x for 32 products a lane
// twin src/reference/moe/expert_up.ts   entry src/kernels/moe/expert_up.ts
#import shared/activation
#import moe/expert_lane
override TOP_K: u32;

@group(0) @binding(5) var<storage, read> pair_of_row: array<u32>;
@group(0) @binding(6) var<storage, read_write> act: array<f32>;

const F: u32 = N / 2u;

fn store(row: u32, f: u32, gate: f32, up: f32, end: u32) {
  if (row < end && f < F) {
    for (var v = 0u; v < PAIR_VALUES; v++) { act[(row * PAIR_VALUES + v) * F + f] = activate(v, gate, up); }
  }
}

fn store_each(row: u32, f: u32, slot: u32, gate: vec4<f32>, up: vec4<f32>, end: u32) {
  let gates = gate + slot_bias(slot, 2u * f);
  let ups = up + slot_bias(slot, 2u * f + 1u);
  store(row, f, gates.x, ups.x, end);
  store(row + 1u, f, gates.y, ups.y, end);
  store(row + 2u, f, gates.z, ups.z, end);
  store(row + 3u, f, gates.w, ups.w, end);
}

@compute @workgroup_size(LANES)
fn expert_up_lane(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  if (workgroup.y >= tiles[0].x) { return; }
  let tile = tiles[1u + workgroup.y];
  let first = workgroup.z * 4u;
  let n = (workgroup.x * LANES + lane) * LANE_ROWS;
  if (first >= tile.z || n >= N) { return; }
  let slot = slot_table[tile.x];
  if (slot == MISSING) { return; }
  let rows = rows_of_tile(tile, first);
  let pairs = vec4<u32>(pair_of_row[rows.x], pair_of_row[rows.y], pair_of_row[rows.z], pair_of_row[rows.w]);
  let products = lane_products(slot_matrix(slot), pairs / TOP_K, n);
  let end = tile.y + tile.z;
  store_each(tile.y + first, n / 2u, slot, products.a, products.b, end);
  store_each(tile.y + first, n / 2u + 1u, slot, products.c, products.d, end);
  store_each(tile.y + first, n / 2u + 2u, slot, products.e, products.f, end);
  store_each(tile.y + first, n / 2u + 3u, slot, products.g, products.h, end);
}
