/** Who is dropped where experts are full, and what the others weigh. */
import type { LayerShape } from '../../config/moe-layer.ts';
import { foldGrid, type Recorder } from '../../gpu/recording.ts';
import { ceilDiv } from '../../util/math.ts';
import { sizesOf, type LayerViews } from './views.ts';

export function place(recorder: Recorder, io: LayerViews, { experts, topK, chooses, fill }: LayerShape): void {
  recorder.dispatch({
    shader: 'layer/place',
    constants: { E: experts, K: topK, ALL: chooses === 'experts', TOKEN_ORDER: fill === 'token-order' },
    bindings: { chosen: io.chosen, priority: io.priority, kept: io.kept, u_gate: io.gate },
    grid: ({ tokens }) => foldGrid(ceilDiv(tokens * topK, 64)),
  });
}

/** What `routed` is for the grouping and the experts: ids X and X + 1 have no weights behind them. */
export function weigh(recorder: Recorder, io: LayerViews, shape: LayerShape): void {
  const { G, M, X, PLANES } = sizesOf(shape);
  recorder.dispatch({
    shader: 'layer/weigh',
    constants: {
      G,
      E: shape.experts,
      K: shape.topK,
      X,
      PLANES,
      ...weightConstants(shape),
      RESIDUAL: shape.residual,
      ...(shape.residual ? { M } : {}),
      IDENTITY: shape.zeroGives === 'identity',
    },
    bindings: {
      gates: io.gates,
      chosen: io.chosen,
      kept: io.kept,
      weights: io.weights,
      routed: io.routed,
      ...(shape.residual ? { logits: io.logits } : {}),
    },
    grid: ({ tokens }) => foldGrid(ceilDiv(tokens, 64)),
  });
}

/** AFTER_DROP only means something where weights are normalised. */
export const weightConstants = ({
  scale,
  uniformWeights,
  normalize,
}: LayerShape): Record<string, number | boolean> => ({
  SCALE: scale,
  UNIFORM: uniformWeights,
  NORMALIZE: normalize !== 'none',
  ...(normalize !== 'none' ? { AFTER_DROP: normalize === 'after-drop' } : {}),
});
