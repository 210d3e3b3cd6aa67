// Scale `index` of the row whose scales start at word `row_at`: bf16, two a word, low half first.
fn scale_at(row_at: u32, index: u32) -> f32 {
  let word = scale_word(row_at + (index >> 1u));
  return bitcast<f32>(select(word << 16u, word & 0xffff0000u, (index & 1u) == 1u));
}
