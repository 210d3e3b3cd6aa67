import type { ModelConfig } from './model-config.ts';

/** Whether a model reads texts and gives a vector for each of their tokens, without a decoder: nothing is generated. */
export const isEncoderAlone = ({ encoder }: Pick<ModelConfig, 'encoder'>): boolean =>
  encoder !== undefined && encoder.startToken === undefined;
