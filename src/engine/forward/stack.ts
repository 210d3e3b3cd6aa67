/** Which layers a step runs: all; with an encoder, its layers for the text that it reads, those of the decoder for a token. */
import type { ModelConfig } from '../../config/model-config.ts';
import { moeLayers } from '../activations.ts';
import type { Batch } from './batch.ts';

export function layersOf({ encoder, layers }: ModelConfig, batch: Batch): readonly [first: number, end: number] {
  if (!encoder) return [0, layers.length];
  return batch === 'chunk' ? [0, encoder.layers] : [encoder.layers, layers.length];
}

/** The same, counted in MoE layers. */
export function moeLayersOf(config: ModelConfig, batch: Batch): readonly [first: number, end: number] {
  const before = (end: number): number => moeLayers({ ...config, layers: config.layers.slice(0, end) }).length;
  const [first, end] = layersOf(config, batch);
  return [before(first), before(end)];
}
