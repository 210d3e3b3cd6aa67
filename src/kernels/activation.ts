import { valueRows } from '../config/activation.ts';
import type { Activation } from '../config/model-config.ts';

/**
 * Constants of a shader that imports `shared/activation`.
 * @param activation `none`: the products as they are, first those of even rows. So are a double gate's: linear/glu_triples makes values of them
 */
export function activationConstants(
  activation: Activation | { readonly kind: 'none' },
): Record<string, number | boolean> {
  const rows = activation.kind === 'none' ? 3 : valueRows(activation);
  const constants: Record<string, number | boolean> = {
    ACT_NONE: rows === 3,
    ACT_SILU: activation.kind === 'silu',
    ACT_GELU_TANH: activation.kind === 'gelu-tanh',
    ACT_RELU: activation.kind === 'relu',
    ...(rows === 3 ? {} : { ACT_UNGATED: rows === 1 }),
    ACT_CLAMPED: activation.kind === 'clamped-swiglu',
  };
  const { kind } = activation;
  if (kind === 'gelu-ungated') return { ...constants, ACT_GELU: true };
  if (constants.ACT_UNGATED) return { ...constants, ACT_GELU: false, ACT_POWER: kind === 'relu-squared' ? 2 : 1 };
  if (activation.kind !== 'clamped-swiglu') return constants;
  return { ...constants, ACT_ALPHA: activation.alpha, ACT_LIMIT: activation.limit };
}
