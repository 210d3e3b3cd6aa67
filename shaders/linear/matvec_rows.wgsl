// Rows of W against one row of x: see linear/row_lanes. Every lane holds its part of x for all its rows.
#import linear/row_lanes

const COLUMNS: u32 = 1u;

/// Each lane's share of rows first_row.. for x row t; ends with a barrier. Rows beyond N repeat the last one.
fn matvec_partials(t: u32, first_row: u32, lane: u32) {
  let team = lane / LANES;
  let member = lane % LANES;
  var sums: array<f32, ROWS_PER_LANE>;
#if GAMMA
  var square: array<f32, 1>;
#endif
  for (var trip = 0u; trip < TRIPS; trip++) {
    let chunk = trip * LANES + member;
    if (chunk < W_CHUNKS) {
      var part = x_chunk(t, chunk);
#if GAMMA
      square[0] += dot32(part, part);
      for (var i = 0u; i < 8u; i++) { part[i] *= gamma_quad(chunk * 8u + i); }
#endif
      let inputs = chunk_inputs(part);
      for (var r = 0u; r < ROWS_PER_LANE; r++) {
        let row = min(first_row + team * ROWS_PER_LANE + r, N - 1u);
        sums[r] += chunk_product(0u, row, chunk, inputs);
      }
    }
  }
#if GAMMA
  keep_shares(lane, &sums, &square);
#else
  keep_shares(lane, &sums);
#endif
}
