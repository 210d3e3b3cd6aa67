// A lane's share of gate f and up f, rows `row` and row + 1, against row t of x: chunks part, part + PARTS, ...
#import weight_format
#import products
#import linear/x_quads
const UP_TRIPS: u32 = (W_CHUNKS + PARTS - 1u) / PARTS;

fn up_share(matrix: u32, t: u32, row: u32, part: u32) -> vec2<f32> {
  var sums = vec2<f32>();
  for (var i = 0u; i < UP_TRIPS; i++) {
    let chunk = i * PARTS + part;
    if (chunk < W_CHUNKS) {
      let inputs = chunk_inputs(x_chunk(t, chunk));
      let gate = chunk_product(matrix, row, chunk, inputs);
      let up = chunk_product(matrix, row + 1u, chunk, inputs);
      sums += vec2<f32>(gate, up);
    }
  }
  return sums;
}
