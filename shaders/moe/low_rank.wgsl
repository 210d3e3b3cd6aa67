// What an adapter's low-rank maps beside the experts share: the maps of the experts that it changes, one after the other, who has which, and which
// row of an input or a result is a pair's: row_of_pair[p] with BY_ROW, else p / PAIRS_A_ROW.
override TOP_K: u32;
override R: u32;

@group(0) @binding(0) var<storage, read> maps: array<f32>;
@group(0) @binding(1) var<storage, read> places: array<u32>;
@group(0) @binding(2) var<storage, read> routed: array<u32>;

#if BY_ROW
@group(0) @binding(3) var<storage, read> row_of_pair: array<u32>;
fn row_of(pair: u32) -> u32 { return row_of_pair[pair]; }
#else
override PAIRS_A_ROW: u32;
fn row_of(pair: u32) -> u32 { return pair / PAIRS_A_ROW; }
#endif

/// The adapter leaves the expert as it is.
const UNCHANGED: u32 = 0xffffffffu;

/// Place of the maps of the expert that token t chose as its k-th.
fn place_of(t: u32, k: u32) -> u32 {
  return places[routed[2u * t * TOP_K + k]];
}
