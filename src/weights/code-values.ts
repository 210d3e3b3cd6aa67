/** The 16 values that bitsandbytes' 4-bit codes stand for, before the scale of their block; shaders/weights/code4.wgsl has them too. */

/** Quantiles of a normal distribution, scaled to [-1, 1] (QLoRA, arXiv 2305.14314, appendix E). */
export const NF4_VALUES: readonly number[] = [
  -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
];

/** Sign, 2 bits of exponent, 1 of mantissa, divided by the largest: 0, 1/192, 8/12, 1, 4/12, 6/12, 2/12, 3/12. */
const FP4_POSITIVE = [0, 1 / 192, 8 / 12, 1, 4 / 12, 6 / 12, 2 / 12, 3 / 12].map(Math.fround);
export const FP4_VALUES: readonly number[] = [...FP4_POSITIVE, ...FP4_POSITIVE.map((x) => -x)];
