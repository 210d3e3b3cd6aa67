/** The naming of Mamba's token mixers, the same in every family: `{prefix}.in_proj` and so on. */
import type { Mamba1, Mamba2 } from '../config/model-config.ts';
import type { Mamba1Names, Mamba2Names } from './family.ts';

/** @param prefix as in `model.layers.0.mamba` */
export function mambaNames(prefix: string, mixer: Mamba1): Mamba1Names;
export function mambaNames(prefix: string, mixer: Mamba2): Mamba2Names;
export function mambaNames(prefix: string, mixer: Mamba1 | Mamba2): Mamba1Names | Mamba2Names {
  const at = (name: string): string => `${prefix}.${name}`;
  const both = {
    inProj: at('in_proj'),
    conv: at('conv1d.weight'),
    convBias: mixer.convBias ? at('conv1d.bias') : null,
    aLog: at('A_log'),
    skip: at('D'),
    outProj: at('out_proj'),
  };
  if (mixer.kind === 'mamba-2') return { kind: 'mamba-2', ...both, stepBias: at('dt_bias'), norm: at('norm.weight') };
  return {
    kind: 'mamba-1',
    ...both,
    selectProj: at('x_proj'),
    stepProj: at('dt_proj'),
    stepNorm: at('dt_layernorm.weight'),
    bNorm: at('b_layernorm.weight'),
    cNorm: at('c_layernorm.weight'),
  };
}
