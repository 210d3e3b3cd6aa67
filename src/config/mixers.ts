/** Which token mixers carry a state in place of keys and values. */
import type { AttentionConfig, GroupedAttention, MixerConfig, ModelConfig, RecurrentConfig } from './model-config.ts';

export const isAttention = (mixer: MixerConfig): mixer is AttentionConfig =>
  mixer.kind === 'grouped' || mixer.kind === 'latent';

export const isRecurrent = (mixer: MixerConfig): mixer is RecurrentConfig => !isAttention(mixer);

/** Attention that also keeps what its filter needs of the token before. */
export const isFiltered = (mixer: MixerConfig): mixer is GroupedAttention =>
  mixer.kind === 'grouped' && mixer.filter !== undefined;

/** Attention that also keeps projections of the last two tokens. */
export const isConvolved = (mixer: MixerConfig): mixer is GroupedAttention =>
  mixer.kind === 'grouped' && mixer.convolved === true;

/** Whether some layer carries a state, which cannot be cut back to an earlier token as keys and values can. */
export const carriesState = ({ layers }: ModelConfig): boolean =>
  layers.some(({ mixer }) => isRecurrent(mixer) || isFiltered(mixer) || isConvolved(mixer));

/** Of all layers that have it. */
export const attentionLayers = ({ layers }: ModelConfig): AttentionConfig[] =>
  layers.map((l) => l.mixer).filter(isAttention);

export const recurrentLayers = ({ layers }: ModelConfig): RecurrentConfig[] =>
  layers.map((l) => l.mixer).filter(isRecurrent);

/** Of the output gate's projection. */
export const gateRows = ({ heads, headSize, outputGate }: GroupedAttention): number =>
  outputGate === undefined ? 0 : outputGate.of === 'head' ? heads : heads * headSize;
