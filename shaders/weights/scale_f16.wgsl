// Scale `index` of the row whose scales start at word `row_at`: f16, two a word, low half first; subnormals are exact.
#import shared/f16
fn scale_at(row_at: u32, index: u32) -> f32 {
  return f16_low(scale_word(row_at + (index >> 1u)) >> (16u * (index & 1u)));
}
