// Tiles of experts on software adapters: a lane takes eight rows of the expert's matrix and four rows of the tile. See linear/lane_products.
#import moe/expert
#import linear/lane_products

@group(0) @binding(4) var<storage, read> tiles: array<vec4<u32>>;

const LANES: u32 = 16u;

/// Rows first.. of a tile, as rows of the whole; beyond the tile they repeat its last one.
fn rows_of_tile(tile: vec4<u32>, first: u32) -> vec4<u32> {
  return tile.y + min(vec4<u32>(first, first + 1u, first + 2u, first + 3u), vec4<u32>(tile.z - 1u));
}
