/** Which native layout a published matrix gets: as it is, or quantised on load. */
import type { Layout } from '../weights/layout.ts';

/** What the caller asks for. `auto` takes the first of as-is, q8, q4 that fits the budget. */
export type WeightsOption = 'auto' | 'as-is' | 'q8' | 'q4';
export type Precision = Exclude<WeightsOption, 'auto'>;

/**
 * `linear`: attention and feed-forward projections, experts. `embedding`: token embedding and LM head, never below 8 bits.
 * `router`: never quantised, because 4-bit noise flips its choices.
 */
export type MatrixRole = 'linear' | 'embedding' | 'router';

const quantised = (bits: 4 | 8): Layout => ({ kind: 'int', bits, group: 32, scale: 'f16', zeros: false });

/** Published integers and 4-bit floats stay what they are: re-quantising only loses. FP8 is made smaller where 4 bits are asked for. */
export function targetLayout(published: Layout, role: MatrixRole, precision: Precision): Layout {
  const isFloat = published.kind === 'f32' || published.kind === 'bf16' || published.kind === 'f16';
  const shrinks = published.kind === 'fp8' && precision === 'q4' && role === 'linear';
  if (!(isFloat || shrinks) || role === 'router' || precision === 'as-is') return published;
  return quantised(role === 'embedding' || precision === 'q8' ? 8 : 4);
}
