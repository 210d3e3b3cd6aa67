// weights/products_bytes in f16, two values an instruction on GPUs that do so: for adapters with shader-f16. Inputs are divided by the largest magnitude
// of their chunk, so that none overflows whatever the model; a byte b becomes 1024 + b as f16 bits and loses 1024 exactly; a chunk's products are
// added 8 to a sum in f16 (at most 8 * 255 in magnitude), those 4 and all chunks in f32.
// The bound: a relative 2^-11 for an input, and for each of at most 9 roundings of a partial sum.
enable f16;
#import weight_format
#import shared/largest32
struct ChunkInputs {
  x: array<vec4<f16>, 8>,
  sum: f32,
  scale: f32,
}

/// In the order in which byte_pairs takes bytes apart.
fn halves(x: vec4<f32>, scale: f32) -> vec4<f16> {
  return vec4<f16>(x.xzyw * scale);
}

fn chunk_inputs(x: array<vec4<f32>, 8>) -> ChunkInputs {
  // Below 2^-100 a chunk counts as 0: the reciprocal of less may not be finite.
  let m = largest32(x);
  let s = select(0.0, 1.0 / m, m > 0x1p-100f);
  let h = array<vec4<f16>, 8>(
    halves(x[0], s),
    halves(x[1], s),
    halves(x[2], s),
    halves(x[3], s),
    halves(x[4], s),
    halves(x[5], s),
    halves(x[6], s),
    halves(x[7], s),
  );
  // Of the rounded values: then what the zero takes off is what the bytes have too much.
  let sum = (vec4<f32>(h[0]) + vec4<f32>(h[1])) + (vec4<f32>(h[2]) + vec4<f32>(h[3])) +
    ((vec4<f32>(h[4]) + vec4<f32>(h[5])) + (vec4<f32>(h[6]) + vec4<f32>(h[7])));
  return ChunkInputs(h, (sum.x + sum.y) + (sum.z + sum.w), m);
}

/// Bytes 0, 2, 1, 3 of a word, less BYTE_MIDDLE, which is near their zero and keeps sums small.
fn byte_pairs(u: u32) -> vec4<f16> {
  let even = bitcast<vec2<f16>>((u & 0x00ff00ffu) | 0x64006400u);
  let odd = bitcast<vec2<f16>>(((u >> 8u) & 0x00ff00ffu) | 0x64006400u);
  return vec4<f16>(even, odd) - vec4<f16>(1024.0h + f16(BYTE_MIDDLE));
}

struct ChunkWeights {
  w: array<vec4<f16>, 8>,
  zero: f32, // less BYTE_MIDDLE
  unit: f32,
  scale: f32,
}

fn chunk_weights(matrix: u32, row: u32, chunk: u32) -> ChunkWeights {
  let b = bytes32(matrix, row, chunk);
  let w = array<vec4<f16>, 8>(
    byte_pairs(b[0]),
    byte_pairs(b[1]),
    byte_pairs(b[2]),
    byte_pairs(b[3]),
    byte_pairs(b[4]),
    byte_pairs(b[5]),
    byte_pairs(b[6]),
    byte_pairs(b[7]),
  );
  let zero = byte_zero(matrix, row, chunk) - f32(BYTE_MIDDLE);
  return ChunkWeights(w, zero, byte_unit(matrix, row, chunk), weight_scale(matrix, row, chunk));
}

fn inner(weights: ChunkWeights, inputs: ChunkInputs) -> f32 {
  let w = weights.w;
  let x = inputs.x;
  let even = w[0] * x[0] + w[2] * x[2] + w[4] * x[4] + w[6] * x[6];
  let odd = w[1] * x[1] + w[3] * x[3] + w[5] * x[5] + w[7] * x[7];
  let s = vec4<f32>(even) + vec4<f32>(odd);
  let product = (s.x + s.y) + (s.z + s.w) - weights.zero * inputs.sum;
  return weights.scale * (weights.unit * (inputs.scale * product));
}

fn chunk_product(matrix: u32, row: u32, chunk: u32, inputs: ChunkInputs) -> f32 {
  return inner(chunk_weights(matrix, row, chunk), inputs);
}
