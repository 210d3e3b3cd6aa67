/** The tensors of a recurrent token mixer, by name, with their shapes in plain form. */
import type { RecurrentConfig } from '../../src/config/model-config.ts';
import type { LayerNames } from '../../src/families/family.ts';

export function mixerShapes(
  mixer: RecurrentConfig,
  names: LayerNames['attention'],
  hidden: number,
): Record<string, readonly number[]> {
  if (names.kind !== mixer.kind) throw new Error('names of another kind than the config');
  return {
    [`${names.inProj}.weight`]: [3 * hidden, hidden],
    [names.conv]: [hidden, 1, mixer.taps],
    [`${names.outProj}.weight`]: [hidden, hidden],
  };
}
