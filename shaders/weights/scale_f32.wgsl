// Scale `index` of the row whose scales start at word `row_at`: f32, one a word.
fn scale_at(row_at: u32, index: u32) -> f32 {
  return bitcast<f32>(scale_word(row_at + index));
}
