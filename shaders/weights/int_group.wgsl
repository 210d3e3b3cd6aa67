// Scale and zero point of the group that a chunk belongs to: w = scale * (q - zero). The zeros plane holds one u8 or one f32 a group.
#import scale_format
#import weights/scaled
override W_SCALES_AT: u32;
override W_SCALE_ROW: u32;
override W_GROUP_CHUNKS: u32;
#if W_ZEROS
override W_ZEROS_AT: u32;
override W_ZERO_ROW: u32;
#endif

fn weight_scale(matrix: u32, row: u32, chunk: u32) -> f32 {
  return scale_at(matrix * 4u + W_SCALES_AT + row * W_SCALE_ROW, chunk / W_GROUP_CHUNKS);
}

/// `usual` is 2^(bits-1), for matrices without a zeros plane.
fn int_zero(matrix: u32, row: u32, chunk: u32, usual: f32) -> f32 {
#if W_ZEROS
  let group = chunk / W_GROUP_CHUNKS;
  let row_at = matrix * 4u + W_ZEROS_AT + row * W_ZERO_ROW;
#if W_ZEROS_F32
  return bitcast<f32>(scale_word(row_at + group));
#else
  return f32((scale_word(row_at + group / 4u) >> (8u * (group % 4u))) & 255u);
#endif
#else
  return usual;
#endif
}
