// What an adapter's low-rank maps beside the experts share: the maps of the experts that it changes, one after the other, and who has which.
override TOP_K: u32;
override R: u32;

@group(0) @binding(0) var<storage, read> maps: array<f32>;
@group(0) @binding(1) var<storage, read> places: array<u32>;
@group(0) @binding(2) var<storage, read> routed: array<u32>;

/// The adapter leaves the expert as it is.
const UNCHANGED: u32 = 0xffffffffu;

/// Place of the maps of the expert that token t chose as its k-th.
fn place_of(t: u32, k: u32) -> u32 {
  return places[routed[2u * t * TOP_K + k]];
}
