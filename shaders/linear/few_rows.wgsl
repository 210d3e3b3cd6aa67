// Rows of W against up to COLUMNS rows of x: see linear/row_lanes. A row of W is read and unpacked once for all of them, and each column is summed in
// the same order as in linear/matvec_rows: a token gets the same bits as alone. The importer has OUTPUTS results a token of ROWS rows, and `store`s them.
#import shared/step
#import linear/row_lanes
override COLUMNS: u32;

/// Each lane's share of rows first_row.. for tokens first_token..; ends with a barrier. Rows beyond N repeat the last one.
fn few_partials(first_token: u32, first_row: u32, lane: u32) {
  let team = lane / LANES;
  let member = lane % LANES;
  var sums: array<f32, COLUMNS * ROWS_PER_LANE>;
#if GAMMA
  var square: array<f32, COLUMNS>;
#endif
  for (var trip = 0u; trip < TRIPS; trip++) {
    let chunk = trip * LANES + member;
    if (chunk < W_CHUNKS) {
      var weights: array<ChunkWeights, ROWS_PER_LANE>;
      for (var r = 0u; r < ROWS_PER_LANE; r++) {
        weights[r] = chunk_weights(0u, min(first_row + team * ROWS_PER_LANE + r, N - 1u), chunk);
      }
      for (var c = 0u; c < COLUMNS; c++) {
        // The column's sums come first, and go behind the others: a GPU has no index into registers, and would look for sums[c] among all.
        var column: array<f32, ROWS_PER_LANE>;
        for (var r = 0u; r < ROWS_PER_LANE; r++) { column[r] = sums[r]; }
        for (var i = 0u; i < (COLUMNS - 1u) * ROWS_PER_LANE; i++) { sums[i] = sums[i + ROWS_PER_LANE]; }
#if GAMMA
        var squared = square[0];
        for (var i = 0u; i < COLUMNS - 1u; i++) { square[i] = square[i + 1u]; }
#endif
        if (first_token + c < u_step.tokens) {
          var part = x_chunk(first_token + c, chunk);
#if GAMMA
          squared += dot32(part, part);
          for (var i = 0u; i < 8u; i++) { part[i] *= gamma_quad(chunk * 8u + i); }
#endif
          let inputs = chunk_inputs(part);
          for (var r = 0u; r < ROWS_PER_LANE; r++) { column[r] += inner(weights[r], inputs); }
        }
        for (var r = 0u; r < ROWS_PER_LANE; r++) { sums[(COLUMNS - 1u) * ROWS_PER_LANE + r] = column[r]; }
#if GAMMA
        square[COLUMNS - 1u] = squared;
#endif
      }
    }
  }
#if GAMMA
  keep_shares(lane, &sums, &square);
#else
  keep_shares(lane, &sums);
#endif
}

/// All results of rows first_row.. for tokens first_token..
fn few_products(first_token: u32, first_row: u32, lane: u32) {
  if (first_row >= N) { return; }
  few_partials(first_token, first_row, lane);
  for (var i = 0u; i < (COLUMNS * OUTPUTS + WG - 1u) / WG; i++) {
    let at = i * WG + lane;
    let column = at / OUTPUTS;
    let t = first_token + column;
    if (at < COLUMNS * OUTPUTS && t < u_step.tokens) { store(t, column, first_row, at % OUTPUTS); }
  }
}
