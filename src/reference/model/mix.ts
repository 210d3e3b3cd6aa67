/** A layer's token mixer, whichever it is. */
import type { MixerConfig } from '../../config/model-config.ts';
import type { LayerNames } from '../../families/family.ts';
import { attention } from './attention.ts';
import { recurrentMixer } from './mixers.ts';
import type { NormOf, Weights } from './tensors.ts';

/** x: normed tokens [T][D]; returns what joins the residual, [T][D]. `norm` is for the norms inside, which are RMS norms. */
export function mix(
  x: readonly Float64Array[],
  config: MixerConfig,
  names: LayerNames['mixer'],
  weights: Weights,
  norm: NormOf,
): Float64Array[] {
  if (config.kind === 'grouped' || config.kind === 'latent') {
    if (names.kind !== 'grouped' && names.kind !== 'latent') throw new Error('names of another kind than the config');
    return attention(x, config, names, weights, norm);
  }
  if (names.kind === 'grouped' || names.kind === 'latent') throw new Error('names of another kind than the config');
  return recurrentMixer(x, config, names, weights, norm.normEps);
}
