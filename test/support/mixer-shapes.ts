/** The tensors of a recurrent token mixer, by name, with their shapes in plain form. */
import type { RecurrentConfig } from '../../src/config/model-config.ts';
import type { LayerNames } from '../../src/families/family.ts';

type Shapes = Record<string, readonly number[]>;

export function mixerShapes(mixer: RecurrentConfig, n: LayerNames['mixer'], hidden: number): Shapes {
  const { taps } = mixer;
  if (mixer.kind === 'delta-net' && n.kind === 'delta-net') {
    const { heads, keyHeads, keySize, valueSize } = mixer;
    return {
      ...Object.fromEntries(n.inProj.map(({ of, total }) => [`${of}.weight`, [total, hidden]])),
      [n.conv]: [2 * keyHeads * keySize + heads * valueSize, 1, taps],
      [n.aLog]: [heads],
      [n.stepBias]: [heads],
      [n.norm]: [valueSize],
      [`${n.outProj}.weight`]: [hidden, heads * valueSize],
    };
  }
  const outer = (inRows: number, channels: number, convolved: number): Shapes => {
    if (n.kind === 'grouped' || n.kind === 'latent' || n.kind === 'delta-net')
      throw new Error('names of another kind than the config');
    return {
      [`${n.inProj}.weight`]: [inRows, hidden],
      [n.conv]: [convolved, 1, taps],
      ...('convBias' in n && n.convBias !== null ? { [n.convBias]: [convolved] } : {}),
      [`${n.outProj}.weight`]: [hidden, channels],
    };
  };
  if (mixer.kind === 'short-conv' && n.kind === 'short-conv') return outer(3 * hidden, hidden, hidden);
  if (mixer.kind === 'mamba-1' && n.kind === 'mamba-1') {
    const { channels, states, rank } = mixer;
    return {
      ...outer(2 * channels, channels, channels),
      [`${n.selectProj}.weight`]: [rank + 2 * states, channels],
      [`${n.stepProj}.weight`]: [channels, rank],
      [`${n.stepProj}.bias`]: [channels],
      [n.stepNorm]: [rank],
      [n.bNorm]: [states],
      [n.cNorm]: [states],
      [n.aLog]: [channels, states],
      [n.skip]: [channels],
    };
  }
  if (mixer.kind === 'mamba-2' && n.kind === 'mamba-2') {
    const { heads, headSize, groups, states } = mixer;
    const channels = heads * headSize;
    const convolved = channels + 2 * groups * states;
    return {
      ...outer(channels + convolved + heads, channels, convolved),
      [n.stepBias]: [heads],
      [n.aLog]: [heads],
      [n.skip]: [heads],
      [n.norm]: [channels],
    };
  }
  throw new Error('names of another kind than the config');
}
