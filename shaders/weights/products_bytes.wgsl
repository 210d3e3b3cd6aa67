// The product of a chunk of a row with a chunk of inputs, in f32, of weights that are bytes: w = scale * unit * (byte - zero). The zero is taken off
// the sum, zero * (x0 + x1 + ...), so that a weight costs its conversion and its multiplication, and what concerns the inputs alone is done once for all
// rows that a lane holds.
#import weight_format
#import byte_floats
#import shared/dot32
struct ChunkInputs {
  x: array<vec4<f32>, 8>,
  sum: f32,
}

fn chunk_inputs(x: array<vec4<f32>, 8>) -> ChunkInputs {
  let s = ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + (x[6] + x[7]));
  return ChunkInputs(x, (s.x + s.y) + (s.z + s.w));
}

struct ChunkWeights {
  w: array<vec4<f32>, 8>, // the bytes
  zero: f32,
  unit: f32,
  scale: f32,
}

fn chunk_weights(matrix: u32, row: u32, chunk: u32) -> ChunkWeights {
  let b = bytes32(matrix, row, chunk);
  let w = array<vec4<f32>, 8>(
    byte_quad(b[0], 0.0),
    byte_quad(b[1], 0.0),
    byte_quad(b[2], 0.0),
    byte_quad(b[3], 0.0),
    byte_quad(b[4], 0.0),
    byte_quad(b[5], 0.0),
    byte_quad(b[6], 0.0),
    byte_quad(b[7], 0.0),
  );
  let zero = byte_zero(matrix, row, chunk);
  return ChunkWeights(w, zero, byte_unit(matrix, row, chunk), weight_scale(matrix, row, chunk));
}

fn inner(weights: ChunkWeights, inputs: ChunkInputs) -> f32 {
  let product = dot32(weights.w, inputs.x) - weights.zero * inputs.sum;
  return weights.scale * (weights.unit * product);
}

fn chunk_product(matrix: u32, row: u32, chunk: u32, inputs: ChunkInputs) -> f32 {
  return inner(chunk_weights(matrix, row, chunk), inputs);
}
