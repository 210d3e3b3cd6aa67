/** Everything that a model keeps on the GPU, layer by layer and flat. */
import { mixerMatrices, mixerVectors } from '../../layers/weights.ts';
import type {
  ExpertsSpec,
  LayerSpec,
  MatrixPart,
  MatrixSpec,
  ModelSpec,
  RouterSpec,
  VectorSpec,
} from '../describe/specs.ts';

interface LayerParts {
  readonly matrices: MatrixSpec[];
  readonly vectors: VectorSpec[];
  readonly moe: { readonly router: RouterSpec; readonly experts: ExpertsSpec } | null;
}

/** Every matrix and vector of a layer outside the experts and the router. */
function layerParts(layer: LayerSpec): LayerParts {
  const { mixer: a, ffn } = layer;
  const present = <T>(values: readonly (T | null)[]): T[] => values.filter((v): v is T => v !== null);
  const parallel = ffn.kind === 'moe' ? ffn.parallel : null;
  const dense = ffn.kind === 'dense' ? [ffn] : present(ffn.kind === 'moe' ? [ffn.shared, parallel] : []);
  const { latent, state } = ffn.kind === 'moe' ? ffn : { latent: null, state: null };
  return {
    matrices: present<MatrixSpec>([
      ...mixerMatrices(a),
      ...dense.flatMap(({ gateUp, down }) => [gateUp, down]),
      ...(latent ? [latent.down, latent.up] : []),
      ...(state ? [state.down] : []),
    ]),
    vectors: present<VectorSpec>([
      layer.mixerNorm,
      layer.mixerPostNorm,
      layer.ffnPostNorm,
      ...mixerVectors(a),
      layer.outScale,
      ...(ffn.kind === 'dense' ? [ffn.norm, ffn.gateUpBias, ffn.downBias] : []),
      ...(parallel ? [parallel.norm, parallel.postNorm, parallel.expertsPostNorm] : []),
      ...(state ? [state.norm, state.vectors] : []),
      ...(ffn.kind === 'moe' ? [ffn.streamNorm] : []),
    ]),
    moe: ffn.kind === 'moe' ? ffn : null,
  };
}

export interface ModelParts {
  readonly matrices: MatrixSpec[];
  readonly vectors: VectorSpec[];
  readonly routers: RouterSpec[];
  readonly experts: ExpertsSpec[];
}

/** Everything of a model, flat; a tied head counts once. */
export function modelParts(spec: ModelSpec): ModelParts {
  const layers = spec.layers.map(layerParts);
  return {
    matrices: [...new Set([spec.embed, spec.head, ...layers.flatMap((l) => l.matrices)])],
    vectors: [
      ...(spec.headBias ? [spec.headBias] : []),
      spec.finalNorm,
      ...(spec.encoderNorm ? [spec.encoderNorm] : []),
      ...(spec.embedJoin ? [spec.embedJoin] : []),
      ...layers.flatMap((l) => l.vectors),
    ],
    routers: layers.flatMap((l) => (l.moe ? [l.moe.router] : [])),
    experts: layers.flatMap((l) => (l.moe ? [l.moe.experts] : [])),
  };
}

/** What is read from the checkpoint row by row, outside the experts. */
export const matrixParts = ({ matrices, routers }: ModelParts): MatrixPart[] => [
  ...matrices.flatMap((m) => m.parts),
  ...routers.map((r) => r.matrix),
];
