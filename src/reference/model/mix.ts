/** A layer's token mixer, whichever it is. */
import type { MixerConfig } from '../../config/model-config.ts';
import type { LayerNames } from '../../families/family.ts';
import { attention } from './attention.ts';
import { recurrentMixer } from './mixers.ts';
import type { Weights } from './tensors.ts';

/** x: normed tokens [T][D]; returns what joins the residual, [T][D]. `eps` is for the norms inside. */
export function mix(
  x: readonly Float64Array[],
  config: MixerConfig,
  names: LayerNames['attention'],
  weights: Weights,
  eps: number,
): Float64Array[] {
  if (config.kind === 'grouped' || config.kind === 'latent') {
    if (names.kind !== 'grouped' && names.kind !== 'latent') throw new Error('names of another kind than the config');
    return attention(x, config, names, weights, eps);
  }
  if (names.kind === 'grouped' || names.kind === 'latent') throw new Error('names of another kind than the config');
  return recurrentMixer(x, config, names, weights, eps);
}
