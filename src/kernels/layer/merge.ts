import type { LayerShape } from '../../config/moe-layer.ts';
import type { Recorder } from '../../gpu/recording.ts';
import { ceilDiv } from '../../util/math.ts';
import { sizesOf, type LayerViews } from './views.ts';

/** As moe/combine without a residual, for pairs that may have no row. */
export function merge(recorder: Recorder, io: LayerViews, shape: LayerShape): void {
  const { ALL, X } = sizesOf(shape);
  recorder.dispatch({
    shader: 'layer/merge',
    constants: { D: shape.hidden, ALL, X },
    bindings: { y: io.y, x: io.x, row_of_pair: io.rowOfPair, routed: io.routed, out: io.out },
    grid: ({ tokens }) => [ceilDiv(shape.hidden, 64), tokens, 1],
  });
}
