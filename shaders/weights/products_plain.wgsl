// The product of a chunk of a row with a chunk of inputs, in f32: for weights that are no bytes. See weights/products_bytes.
#import weight_format
#import shared/dot32
alias ChunkInputs = array<vec4<f32>, 8>;

fn chunk_inputs(x: array<vec4<f32>, 8>) -> ChunkInputs {
  return x;
}

struct ChunkWeights {
  w: array<vec4<f32>, 8>,
  scale: f32,
}

fn chunk_weights(matrix: u32, row: u32, chunk: u32) -> ChunkWeights {
  return ChunkWeights(unscaled32(matrix, row, chunk), weight_scale(matrix, row, chunk));
}

fn inner(weights: ChunkWeights, x: ChunkInputs) -> f32 {
  return weights.scale * dot32(weights.w, x);
}

fn chunk_product(matrix: u32, row: u32, chunk: u32, inputs: ChunkInputs) -> f32 {
  return inner(chunk_weights(matrix, row, chunk), inputs);
}
