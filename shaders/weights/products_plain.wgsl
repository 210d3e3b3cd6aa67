// The product of a chunk of a row with a chunk of inputs, in f32: for weights that are no bytes. See weights/products_bytes.
#import weight_format
#import shared/dot32
alias ChunkInputs = array<vec4<f32>, 8>;

fn chunk_inputs(x: array<vec4<f32>, 8>) -> ChunkInputs {
  return x;
}

fn chunk_product(matrix: u32, row: u32, chunk: u32, x: ChunkInputs) -> f32 {
  return weight_scale(matrix, row, chunk) * dot32(unscaled32(matrix, row, chunk), x);
}
