import { isEncoderAlone } from '../config/encoder-alone.ts';
import type { ModelConfig } from '../config/model-config.ts';
import { InvalidRequest } from '../errors.ts';

/** @throws InvalidRequest for a model that is an encoder alone, saying what it is for */
export function needsDecoder(
  config: Pick<ModelConfig, 'encoder' | 'family' | 'head'>,
  option: 'generate' | 'logits',
): void {
  if (!isEncoderAlone(config)) return;
  const does = config.head.labels ? 'labels the tokens of texts. Use label' : 'gives vectors of texts. Use embed';
  throw new InvalidRequest(
    `${option} needs a model that writes: this one (${config.family}) is an encoder alone, which ${does}`,
    { option, family: config.family },
  );
}
