/** The values of a feed-forward with a double gate, from products that are there already. */
import { BINDING_ALIGNMENT, subview, type BufferView } from '../../gpu/buffer.ts';
import { foldGrid, type Recorder } from '../../gpu/recording.ts';
import { alignUp, ceilDiv } from '../../util/math.ts';

/** Floats of a buffer for `values` values, and behind them for the three products of each. */
export const triplesRoom = (values: number): number => 4 * alignUp(values, BINDING_ALIGNMENT / 4);

/** Where in such a buffer products begin, in bytes: behind its first quarter. */
const productsAt = ({ size }: BufferView): number => size / 4;

/** The products: [R, 3F], a row's first [F], gate [F], up [F]. */
export const productsOf = (values: BufferView): BufferView =>
  subview(values, productsAt(values), values.size - productsAt(values));

/** values = first * silu(gate) * up. */
export function gluTriples(
  recorder: Recorder,
  label: string,
  /** Of `triplesRoom`. */
  io: { readonly values: BufferView }, // [R, F]
  /** `rows`: R for each token of the step. Default 1. */
  { width, rows = 1 }: { readonly width: number; readonly rows?: number },
): void {
  recorder.dispatch({
    shader: 'linear/glu_triples',
    label,
    constants: { F: width, AT: productsAt(io.values) / 4 },
    bindings: { values: io.values },
    grid: ({ tokens }) => foldGrid(ceilDiv(width, 64), tokens * rows),
  });
}
