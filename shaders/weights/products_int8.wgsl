// weights/products_bytes with whole numbers: inputs become int8 with a scale for each chunk of 32, and four products are one instruction
// (dot4I8Packed). The bound: an input is off by at most 1/254 of its chunk's largest magnitude; sums are exact.
#import weight_format
#import shared/largest32
struct ChunkInputs {
  x: array<u32, 8>,
  sum: f32,
  scale: f32,
}

/// Rounded by what f32 does at 1.5 * 2^23, whose low bits are then the integer's.
fn packed(x: vec4<f32>, scale: f32) -> u32 {
  let bits = bitcast<vec4<u32>>(x * scale + vec4<f32>(0x1.8p23f)) & vec4<u32>(0xffu);
  return bits.x | (bits.y << 8u) | (bits.z << 16u) | (bits.w << 24u);
}

fn chunk_inputs(x: array<vec4<f32>, 8>) -> ChunkInputs {
  let m = largest32(x);
  let s = select(0.0, 127.0 / m, m > 0x1p-100f);
  let q = array<u32, 8>(
    packed(x[0], s),
    packed(x[1], s),
    packed(x[2], s),
    packed(x[3], s),
    packed(x[4], s),
    packed(x[5], s),
    packed(x[6], s),
    packed(x[7], s),
  );
  var sum = 0i;
  for (var i = 0u; i < 8u; i++) { sum += dot4I8Packed(q[i], 0x01010101u); }
  return ChunkInputs(q, f32(sum), m * (1.0 / 127.0));
}

struct ChunkWeights {
  w: array<u32, 8>,
  zero: f32, // less BYTE_OFFSET
  unit: f32,
  scale: f32,
}

fn chunk_weights(matrix: u32, row: u32, chunk: u32) -> ChunkWeights {
  var w = bytes32(matrix, row, chunk);
  for (var i = 0u; i < 8u; i++) { w[i] ^= BYTE_SIGN; }
  let zero = byte_zero(matrix, row, chunk) - BYTE_OFFSET;
  return ChunkWeights(w, zero, byte_unit(matrix, row, chunk), weight_scale(matrix, row, chunk));
}

fn inner(weights: ChunkWeights, inputs: ChunkInputs) -> f32 {
  var sum = 0i;
  for (var i = 0u; i < 8u; i++) { sum += dot4I8Packed(weights.w[i], inputs.x[i]); }
  let product = f32(sum) - weights.zero * inputs.sum;
  return weights.scale * (weights.unit * (inputs.scale * product));
}

fn chunk_product(matrix: u32, row: u32, chunk: u32, inputs: ChunkInputs) -> f32 {
  return inner(chunk_weights(matrix, row, chunk), inputs);
}
