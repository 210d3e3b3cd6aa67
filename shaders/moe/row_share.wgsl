// A lane's share of a row of a matrix against row t of x: chunks part, part + PARTS, ...
#import weight_format
#import products
#import linear/x_quads
const ROW_TRIPS: u32 = (W_CHUNKS + PARTS - 1u) / PARTS;

fn row_share(matrix: u32, t: u32, row: u32, part: u32) -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < ROW_TRIPS; i++) {
    let chunk = i * PARTS + part;
    if (chunk < W_CHUNKS) {
      sum += chunk_product(matrix, row, chunk, chunk_inputs(x_chunk(t, chunk)));
    }
  }
  return sum;
}
