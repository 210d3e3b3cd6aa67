/** Records the token mixer of a layer: attention, or one with a recurrent state. */
import { isRecurrent } from '../../config/mixers.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import type { BufferView } from '../../gpu/buffer.ts';
import type { Recorder } from '../../gpu/recording.ts';
import type { KvPages } from '../../kernels/attention/pages.ts';
import { groupedAttention, latentAttention, type AttentionStep, type KvCache } from '../../layers/attention.ts';
import { encodedAttention, isOfStacks } from '../../layers/encoded_attention.ts';
import type { RecurrentState } from '../../layers/mixer_step.ts';
import type { DeviceParts } from '../../layers/parts.ts';
import { recurrentMixer } from '../../layers/recurrent.ts';
import type { RecurrentWeights } from '../../layers/weights.ts';
import { invariant } from '../../util/assert.ts';
import type { ActivationName } from '../activations.ts';
import type { DeviceWeights } from '../upload.ts';

export interface MixerParts {
  readonly config: ModelConfig;
  readonly activations: Readonly<Record<ActivationName, BufferView>>;
  /** By layer: see forward/caches.ts. */
  readonly caches: readonly (KvCache | RecurrentState)[];
  readonly ropes: readonly (BufferView | null)[];
  readonly buckets: readonly (BufferView | null)[];
  /** Tokens of the encoded text; null in a model without an encoder. */
  readonly encoded: BufferView | null; // [1] u32
}

type LayerOnDevice = DeviceWeights['layers'][number];

const isRecurrentWeights = (w: LayerOnDevice['mixer']): w is RecurrentWeights<DeviceParts, BufferView> =>
  w.kind !== 'grouped' && w.kind !== 'latent';

/** Scratch of attention, which no other layer needs at the same time. */
const recurrentScratch = (a: MixerParts['activations']) => ({
  normed: a.normed,
  projected: a.mid,
  convolved: a.q,
  selected: a.selected,
  b: a.qLatent,
  c: a.raised,
  steps: a.qRaw,
  mixed: a.attended,
});

/**
 * Of layer `i`.
 * @param pages where keys and values are, in place of the layer's cache
 */
export function recordMixer(
  r: Recorder,
  { config, activations: a, caches, ropes, buckets, encoded }: MixerParts,
  i: number,
  { mixer: weights, mixerNorm: norm }: LayerOnDevice,
  pages: KvPages | undefined,
  io: Omit<AttentionStep, 'norm' | 'rope' | 'cache' | 'scratch'>,
): void {
  const mixer = config.layers[i]!.mixer;
  const cache = caches[i]!;
  if (isRecurrent(mixer)) {
    invariant(isRecurrentWeights(weights) && 'scan' in cache, 'weights of another kind than the config');
    invariant(norm && io.postNorm === null, 'a recurrent token mixer without a norm before it, or with one behind it');
    recurrentMixer(r, mixer, weights, { ...io, norm, state: cache, scratch: recurrentScratch(a) });
    return;
  }
  invariant('keys' in cache, 'an attention layer without keys');
  const step = { ...io, norm, rope: ropes[i]!, cache: pages ?? cache, scratch: a };
  if (mixer.kind === 'grouped') {
    invariant(weights.kind === 'grouped', 'weights of another kind than the config');
    if (isOfStacks(mixer)) encodedAttention(r, mixer, weights, { ...step, buckets: buckets[i]!, encoded });
    else groupedAttention(r, mixer, weights, step);
  } else {
    invariant(weights.kind === 'latent', 'weights of another kind than the config');
    latentAttention(r, mixer, weights, step);
  }
}
