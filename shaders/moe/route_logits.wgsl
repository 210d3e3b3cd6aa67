// The logits of a token: its norm, which goes to `normed` and block by block through workgroup memory, times the router. What a router needs beside
// activations is in its block: src/kernels/moe/router_block.ts. The importer has `ahead`, which block this workgroup reads.
#import shared/dot32
#import shared/tree
#import weight_format
#if PRODUCTS
#if ATTENDS
#else
#import shared/softcap
#endif
#endif
override D: u32;
override EPS: f32;
/// From one router block to the next; offsets of the vectors are in words from a block's start.
override ROUTER_VEC4: u32;
#if NORM
override GAMMA_AT: u32;
#endif
#if SHARED_GATE
override SHARED_GATE_AT: u32;
#endif
#if ROUTER_GAINS
override ROUTER_GAINS_AT: u32;
#endif
#if INPUT_SCALED
override INPUT_SCALE: f32;
#endif
/// D goes through workgroup memory in BLOCKS blocks of BLOCK_CHUNKS chunks of 32 values.
override BLOCKS: u32;
override BLOCK_CHUNKS: u32;

@group(0) @binding(0) var<storage, read> values: array<vec4<u32>>;
#if SCALED
@group(0) @binding(1) var<storage, read> scales: array<u32>;
fn scale_word(at: u32) -> u32 { return scales[at]; }
#endif
@group(0) @binding(2) var<storage, read> vectors: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read_write> normed: array<f32>;
#if EARLY
@group(0) @binding(9) var<storage, read> early: array<f32>;
#endif

/// Rows of the router: of experts that attend to each other those of q, k and v, of two maps those of the first.
#if PRODUCTS
override ROWS: u32;
#else
const ROWS: u32 = E;
#endif
/// Lanes that share one router row.
const PARTS: u32 = 4u;
const BLOCK_QUADS: u32 = BLOCK_CHUNKS * 8u;

var<workgroup> staged: array<vec4<f32>, BLOCK_QUADS>;
/// First the parts of the logits, [ROWS][PARTS]; then [E] selection keys as floats.
var<workgroup> parts: array<f32, ROWS * PARTS>;
#if PRODUCTS
var<workgroup> products: array<f32, ROWS>;

/// products [ROWS] from their parts; of two maps tanh of them.
fn add_parts(lane: u32) {
  for (var i = 0u; i < (ROWS + WG - 1u) / WG; i++) {
    let row = i * WG + lane;
    if (row < ROWS) {
      var sum = 0.0;
      for (var p = 0u; p < PARTS; p++) { sum += parts[row * PARTS + p]; }
#if ATTENDS
      products[row] = sum;
#else
      products[row] = soft_capped(sum);
#endif
    }
  }
}

#if ATTENDS
/// Expert e over all: sum of softmax over j of q[e] k[j], times v[j].
fn logit_of(e: u32) -> f32 {
  let q = products[e];
  var top = q * products[E];
  for (var j = 1u; j < E; j++) { top = max(top, q * products[E + j]); }
  var sum = 0.0;
  var mixed = 0.0;
  for (var j = 0u; j < E; j++) {
    let p = exp(q * products[E + j] - top);
    sum += p;
    mixed += p * products[2u * E + j];
  }
  return mixed / sum;
}
#else
override SECOND_AT: u32;

fn logit_of(e: u32) -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < ROWS; i++) { sum += vector(SECOND_AT + e * ROWS + i) * products[i]; }
  return sum;
}
#endif
#endif

/// Value `at` of this workgroup's router block.
fn vector(at: u32) -> f32 {
  return vectors[ahead * ROUTER_VEC4 * 4u + at];
}

#if CENTERED
/// What is subtracted from the token's values: their mean.
var<private> center: f32;

fn mean(from_x: u32, lane: u32) -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < (D + WG - 1u) / WG; i++) {
    let d = i * WG + lane;
    if (d < D) { sum += x[from_x + d]; }
  }
  return tree_sum(lane, sum) / f32(D);
}
#else
const center: f32 = 0.0;
#endif

fn inverse_rms(from_x: u32, lane: u32) -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < (D + WG - 1u) / WG; i++) {
    let d = i * WG + lane;
    if (d < D) {
      let v = x[from_x + d] - center;
      sum += v * v;
    }
  }
  return inverseSqrt(tree_sum(lane, sum) / f32(D) + EPS);
}

/// Normalises one block of the token into `staged` (zero beyond D) and `normed`; returns this lane's share of shared_gate . normed.
fn stage(block: u32, from_x: u32, scale: f32, lane: u32) -> f32 {
  var gate = 0.0;
  for (var i = 0u; i < (BLOCK_QUADS + WG - 1u) / WG; i++) {
    let quad = i * WG + lane;
    if (quad < BLOCK_QUADS) {
      var v = vec4<f32>(0.0);
      for (var j = 0u; j < 4u; j++) {
        let d = (block * BLOCK_QUADS + quad) * 4u + j;
        if (d < D) {
          let unit = (x[from_x + d] - center) * scale;
#if NORM
          v[j] = unit * vector(GAMMA_AT + d);
#else
          v[j] = unit;
#endif
#if NORM_BIAS
          v[j] += vector(GAMMA_AT + D + d);
#endif
          if (ahead == 0u) { normed[from_x + d] = v[j]; }
#if INPUT_SCALED
          if (ahead == 0u) { normed[from_x + d] *= INPUT_SCALE; }
#endif
#if SHARED_GATE
          gate += v[j] * vector(SHARED_GATE_AT + d);
#endif
#if ROUTER_GAINS
          v[j] = unit * vector(ROUTER_GAINS_AT + d);
#endif
#if EARLY
          v[j] = x[from_x + d];
          if (ahead == 0u) { v[j] = early[from_x + d]; }
#endif
        }
      }
      staged[quad] = v;
    }
  }
  return gate;
}

fn staged_chunk(chunk: u32) -> array<vec4<f32>, 8> {
  let q = chunk * 8u;
  return array<vec4<f32>, 8>(
    staged[q],
    staged[q + 1u],
    staged[q + 2u],
    staged[q + 3u],
    staged[q + 4u],
    staged[q + 5u],
    staged[q + 6u],
    staged[q + 7u],
  );
}

/// Adds the staged block to every part of a logit (sets it, for the first block). A lane always meets the same parts, so they need no barrier.
fn add_block(block: u32, lane: u32) {
  for (var i = 0u; i < (ROWS * PARTS + WG - 1u) / WG; i++) {
    let at = i * WG + lane;
    if (at < ROWS * PARTS) {
      // Said explicitly: SwiftShader sets workgroup memory to zero for the first workgroups only.
      var sum = 0.0;
      if (block > 0u) { sum = parts[at]; }
      for (var j = 0u; j < BLOCK_CHUNKS / PARTS; j++) {
        let local = j * PARTS + at % PARTS;
        let chunk = block * BLOCK_CHUNKS + local;
        if (chunk < W_CHUNKS) {
          let router = ahead * ROUTER_VEC4;
          sum += weight_scale(router, at / PARTS, chunk) * dot32(unscaled32(router, at / PARTS, chunk), staged_chunk(local));
        }
      }
      parts[at] = sum;
    }
  }
}
