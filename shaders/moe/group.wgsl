// moe/group: rows are pairs (token, chosen expert) ordered by expert, then by pair; tiles are runs of at most TILE_ROWS rows of one expert
// in   routed [T,2 TOP_K] u32: ids, then weights   pair p = token * TOP_K + k
// out  pair_of_row [P]   row_of_pair [P]   counts [E]   tiles [1 + bound,4]: (number of tiles, 0, 0, 0), then (expert, first row, rows, 0)
// grid [1], workgroup WG: E * WG / 8 bytes of masks and 8 E more of workgroup memory
// num  integers; the same order every run
// cost reads P ids twice, writes 2 P + E words and the tiles; 3 barriers for each WG pairs
// twin src/reference/moe/group.ts   entry src/kernels/moe/group.ts
#import shared/step
override WG: u32;
override E: u32;
override TOP_K: u32;
override TILE_ROWS: u32;

@group(0) @binding(0) var<storage, read> routed: array<u32>;
@group(0) @binding(1) var<storage, read_write> pair_of_row: array<u32>;
@group(0) @binding(2) var<storage, read_write> row_of_pair: array<u32>;
@group(0) @binding(3) var<storage, read_write> tiles: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> counts: array<u32>;

const MASKS: u32 = WG / 32u;
/// Neighbouring experts of one lane in the prefix sum.
const OWN: u32 = (E + WG - 1u) / WG;

var<workgroup> count: array<atomic<u32>, E>;
/// Next free row of each expert.
var<workgroup> cursor: array<u32, E>;
/// Which lanes of the current block of WG pairs chose an expert: bit lane % 32 of word [lane / 32][E].
var<workgroup> choosers: array<atomic<u32>, MASKS * E>;
/// Rows and tiles of a lane's experts and of all lanes before.
var<workgroup> sums: array<vec2<u32>, WG>;

fn expert_of(pair: u32) -> u32 {
  return routed[(pair / TOP_K) * 2u * TOP_K + pair % TOP_K];
}

fn tiles_of(rows: u32) -> u32 {
  return (rows + TILE_ROWS - 1u) / TILE_ROWS;
}

/// Said explicitly: not every implementation sets workgroup memory to zero for every workgroup.
fn clear(lane: u32) {
  for (var i = 0u; i < (MASKS * E + WG - 1u) / WG; i++) {
    let at = i * WG + lane;
    if (at < E) { atomicStore(&count[at], 0u); }
    if (at < MASKS * E) { atomicStore(&choosers[at], 0u); }
  }
  workgroupBarrier();
}

fn histogram(pairs: u32, lane: u32) {
  for (var i = 0u; i < (pairs + WG - 1u) / WG; i++) {
    let pair = i * WG + lane;
    if (pair < pairs) { atomicAdd(&count[expert_of(pair)], 1u); }
  }
  workgroupBarrier();
}

/// Inclusive prefix sums over lanes.
fn scan(lane: u32) {
  for (var reach = 1u; reach < WG; reach <<= 1u) {
    var before = vec2<u32>(0u);
    if (lane >= reach) { before = sums[lane - reach]; }
    workgroupBarrier();
    sums[lane] += before;
    workgroupBarrier();
  }
}

fn write_tiles(lane: u32) {
  var own = vec2<u32>(0u);
  for (var i = 0u; i < OWN; i++) {
    let e = lane * OWN + i;
    if (e < E) {
      let rows = atomicLoad(&count[e]);
      own += vec2<u32>(rows, tiles_of(rows));
    }
  }
  sums[lane] = own;
  workgroupBarrier();
  scan(lane);
  if (lane == 0u) { tiles[0] = vec4<u32>(sums[WG - 1u].y, 0u, 0u, 0u); }
  var next = sums[lane] - own;
  for (var i = 0u; i < OWN; i++) {
    let e = lane * OWN + i;
    if (e < E) {
      let rows = atomicLoad(&count[e]);
      counts[e] = rows;
      cursor[e] = next.x;
      for (var first = 0u; first < rows; first += TILE_ROWS) {
        tiles[1u + next.y] = vec4<u32>(e, next.x + first, min(TILE_ROWS, rows - first), 0u);
        next.y++;
      }
      next.x += rows;
    }
  }
  workgroupBarrier();
}

/// Block by block of WG pairs; inside a block a pair's rank among those of its expert is a bit count.
fn scatter(pairs: u32, lane: u32) {
  let own_mask = lane / 32u;
  let own_bit = lane % 32u;
  for (var i = 0u; i < (pairs + WG - 1u) / WG; i++) {
    let pair = i * WG + lane;
    let live = pair < pairs;
    var e = 0u;
    if (live) {
      e = expert_of(pair);
      atomicOr(&choosers[own_mask * E + e], 1u << own_bit);
    }
    workgroupBarrier();
    var rank = 0u;
    var total = 0u;
    if (live) {
      for (var m = 0u; m < MASKS; m++) {
        let mask = atomicLoad(&choosers[m * E + e]);
        total += countOneBits(mask);
        if (m < own_mask) { rank += countOneBits(mask); }
        if (m == own_mask) { rank += countOneBits(mask & ((1u << own_bit) - 1u)); }
      }
      let row = cursor[e] + rank;
      pair_of_row[row] = pair;
      row_of_pair[pair] = row;
    }
    workgroupBarrier();
    if (live) {
      if (rank + 1u == total) { cursor[e] += total; }
      atomicStore(&choosers[own_mask * E + e], 0u);
    }
    workgroupBarrier();
  }
}

@compute @workgroup_size(WG)
fn group(@builtin(local_invocation_index) lane: u32) {
  let pairs = u_step.tokens * TOP_K;
  clear(lane);
  histogram(pairs, lane);
  write_tiles(lane);
  scatter(pairs, lane);
}
