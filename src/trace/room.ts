/** Memory for what a file claims, within reason. */
import { InvalidTrace } from '../errors.ts';
import { ABSENT } from './trace.ts';

/** Expert ids of one trace: 170,000 tokens of a model with 48 layers that takes 8. A short file must not claim more than fits. */
const MOST_IDS = 2 ** 26;

/** [T, L, K], all absent. @throws InvalidTrace when it would be too large, or is no size */
export function roomForIds(tokens: number, layers: number, topK: number, file: string): Uint16Array {
  const size = tokens * layers * topK;
  if (!Number.isSafeInteger(size) || size < 0 || size > MOST_IDS)
    throw new InvalidTrace(
      `${file}: ${tokens} tokens x ${layers} layers x ${topK} experts are more than webmoe opens`,
      {
        file,
      },
    );
  return new Uint16Array(size).fill(ABSENT);
}
