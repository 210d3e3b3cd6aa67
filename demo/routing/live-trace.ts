/** An empty live trace of a loaded model. */
import type { Model } from '../../src/index.ts';
import { expertBytesOf, LiveTrace } from '../../src/trace/index.ts';

export interface ModelShape {
  readonly layers: number;
  readonly experts: number;
  readonly topK: number;
}

type Ffn = Model['config']['layers'][number]['ffn'];
type MoeFfn = Extract<Ffn, { readonly experts: number }>;

const moeLayers = ({ layers }: Model['config']): MoeFfn[] =>
  layers.flatMap(({ ffn }) => ('experts' in ffn ? [ffn] : []));

/** @returns null for a model without experts */
export function shapeOf(config: Model['config']): ModelShape | null {
  const layers = moeLayers(config);
  if (layers.length === 0) return null;
  return {
    layers: layers.length,
    experts: Math.max(...layers.map((layer) => layer.experts)),
    topK: Math.max(...layers.map((layer) => layer.topK)),
  };
}

export function liveTraceOf(
  { config, plan }: Pick<Model, 'config' | 'plan'>,
  name: string,
  shape: ModelShape,
): LiveTrace {
  const layers = moeLayers(config);
  const score = layers[0]?.router.score;
  return new LiveTrace(
    { name, ...shape, expertBytes: expertBytesOf(plan) },
    {
      ...(score && score !== 'sqrt-softplus' && { scoring: score === 'sigmoid' ? 'sigmoid' : 'softmax' }),
      sharedExperts: Math.max(...layers.map((layer) => Math.round((layer.shared?.width ?? 0) / layer.width))),
      provenance: { kind: 'live', note: `${name}, answering in this page`, date: new Date().toISOString() },
    },
  );
}
