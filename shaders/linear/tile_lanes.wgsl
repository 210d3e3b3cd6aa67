// Which of a tile's products a lane of 64 has, and how they leave it: see linear/matmul_tile and linear/matmul_tile_f16, which put x and W there.
#import shared/step
#import weight_format
#import linear/x_rows
#if GAMMA
#import linear/gamma
override EPS: f32;
#endif
override N: u32;

@group(0) @binding(1) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> scales: array<u32>;

fn scale_word(at: u32) -> u32 { return scales[at]; }

const WG: u32 = 64u;
const TILE_TOKENS: u32 = 32u;
const TILE_ROWS: u32 = 64u;

/// A lane's products: for each of its tokens, its four even rows and its four odd rows.
struct TileProducts {
  even: array<vec4<f32>, 4>,
  odd: array<vec4<f32>, 4>,
}

fn tile_token(lane: u32, i: u32) -> u32 {
  return lane / 8u + i * 8u;
}
/// Pair p is rows 2p and 2p + 1 of the tile.
fn tile_pair(lane: u32, i: u32) -> u32 {
  return lane % 8u + i * 8u;
}
