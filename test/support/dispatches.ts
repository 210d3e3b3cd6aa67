/** What a step may cost in dispatches: by parts, so that it holds for any family; and by fixture, as docs/performance-dispatches.md lists them. */
import { readFileSync } from 'node:fs';
import type { LayerConfig, ModelConfig } from '../../src/config/model-config.ts';
import type { KernelChoice } from '../../src/gpu/device.ts';

export type Phase = 'decode' | 'prefill';

/** Embedding, head, sampling. */
const OUTSIDE = 3;

/** Of one layer, while all keys lie in one split of the decode kernel. */
export function layerDispatches(
  { attention, ffn }: LayerConfig,
  { norm, postNorms }: Pick<ModelConfig, 'norm' | 'postNorms'>,
  phase: Phase,
  kernels: KernelChoice,
): number {
  // Inside latent attention, RMS norms fold in whatever the model's own are.
  const innerNorm = Number(phase === 'prefill' && kernels === 'software');
  const ownNorm = norm === 'rms' ? innerNorm : 1;
  const isLatent = attention.kind === 'latent';
  const rises = isLatent && phase === 'decode' && kernels === 'gpu'; // the decode kernel makes keys and values itself
  const inner = isLatent ? Number(attention.qRank !== null) + Number(!rises) : 0;
  const aside = isLatent ? 0 : Number(attention.outputGate ?? false) + (attention.mixture ? 2 : 0);
  const appends = phase === 'prefill' ? 1 : 0;
  const attending = 1 + ownNorm + inner * (1 + innerNorm) + appends + 2 + aside + Number(postNorms); // attend, out
  if (ffn.kind === 'dense') return attending + 2 + ownNorm + Number(postNorms);
  const shared = ffn.shared && kernels === 'software' ? 2 : 0;
  return attending + (phase === 'decode' ? 3 : 5) + shared + Number(postNorms);
}

export const stepDispatches = (config: ModelConfig, phase: Phase, kernels: KernelChoice): number =>
  config.layers.reduce(
    (n, layer) => n + layerDispatches(layer, config, phase, kernels),
    OUTSIDE + Number(config.norm !== 'rms'), // the norm before the head
  );

type Row = Readonly<Record<KernelChoice, Readonly<Record<Phase, number>>>>;

/** Rows `| fixture | decode | prefill | decode, software | prefill, software |` of a Markdown text. */
export function listedDispatches(text = readFileSync('docs/performance-dispatches.md', 'utf8')): Map<string, Row> {
  const rows = [...text.matchAll(/^\|\s*`([\w/-]+)`\s*\|\s*(\d+)\s*\|\s*(\d+)\s*\|\s*(\d+)\s*\|\s*(\d+)\s*\|$/gm)];
  return new Map(
    rows.map(([, fixture, ...counts]) => {
      const [a, b, c, d] = counts.map(Number) as [number, number, number, number];
      return [fixture!, { gpu: { decode: a, prefill: b }, software: { decode: c, prefill: d } }];
    }),
  );
}
