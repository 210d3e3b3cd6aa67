/** What a step may cost in dispatches: by parts, so that it holds for any family; and by fixture, as docs/performance-dispatches.md lists them. */
import { readFileSync } from 'node:fs';
import type { LayerConfig, ModelConfig } from '../../src/config/model-config.ts';
import type { KernelChoice } from '../../src/gpu/device.ts';

export type Phase = 'decode' | 'prefill';

/** Embedding, head, sampling. */
const OUTSIDE = 3;

/** Of one layer, while all keys lie in one split of the decode kernel. */
export function layerDispatches({ attention, ffn }: LayerConfig, phase: Phase, kernels: KernelChoice): number {
  const hasNorms = phase === 'prefill' && kernels === 'software';
  // Of latent attention, kv rises inside the attention of a GPU's decode step.
  const kvUp = phase === 'decode' && kernels === 'gpu' ? 0 : 1;
  const projections = attention.kind === 'latent' ? 1 + kvUp + (attention.qRank === null ? 0 : 1) : 1;
  const appends = phase === 'prefill' ? 1 : 0;
  const attending = projections * (hasNorms ? 2 : 1) + appends + 2; // attend, out
  if (ffn.kind === 'dense') return attending + 2 + Number(hasNorms);
  const shared = ffn.shared && kernels === 'software' ? 2 : 0;
  return attending + (phase === 'decode' ? 3 : 5) + shared;
}

export const stepDispatches = ({ layers }: ModelConfig, phase: Phase, kernels: KernelChoice): number =>
  layers.reduce((n, layer) => n + layerDispatches(layer, phase, kernels), OUTSIDE);

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
