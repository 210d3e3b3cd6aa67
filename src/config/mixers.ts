/** Which token mixers carry a state in place of keys and values. */
import type { AttentionConfig, GroupedAttention, MixerConfig, ModelConfig, RecurrentConfig } from './model-config.ts';

export const isAttention = (mixer: MixerConfig): mixer is AttentionConfig =>
  mixer.kind === 'grouped' || mixer.kind === 'latent';

export const isRecurrent = (mixer: MixerConfig): mixer is RecurrentConfig => !isAttention(mixer);

/** Of all layers that have it. */
export const attentionLayers = ({ layers }: ModelConfig): AttentionConfig[] =>
  layers.map((l) => l.mixer).filter(isAttention);

export const recurrentLayers = ({ layers }: ModelConfig): RecurrentConfig[] =>
  layers.map((l) => l.mixer).filter(isRecurrent);

/** Of the output gate's projection. */
export const gateRows = ({ heads, headSize, outputGate }: GroupedAttention): number =>
  outputGate === undefined ? 0 : outputGate.of === 'head' ? heads : heads * headSize;
