// Scale and zero point of the group that a chunk belongs to: w = scale * (q - zero). The zeros plane holds one u8 a group.
#import scale_format
override W_SCALES_AT: u32;
override W_SCALE_ROW: u32;
override W_GROUP_CHUNKS: u32;
#if W_ZEROS
override W_ZEROS_AT: u32;
override W_ZERO_ROW: u32;
#endif

struct IntGroup {
  scale: f32,
  zero: f32,
}

/// `usual_zero` is 2^(bits-1), for matrices without a zeros plane.
fn int_group(matrix: u32, row: u32, chunk: u32, usual_zero: f32) -> IntGroup {
  let group = chunk / W_GROUP_CHUNKS;
  let scale = scale_at(matrix * 4u + W_SCALES_AT + row * W_SCALE_ROW, group);
#if W_ZEROS
  let word = scales[matrix * 4u + W_ZEROS_AT + row * W_ZERO_ROW + group / 4u];
  return IntGroup(scale, f32((word >> (8u * (group % 4u))) & 255u));
#else
  return IntGroup(scale, usual_zero);
#endif
}
