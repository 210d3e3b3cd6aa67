import { isGated } from '../config/activation.ts';
import type { Activation } from '../config/model-config.ts';

/**
 * Constants of a shader that imports `shared/activation`.
 * @param activation `none`: the products as they are, first those of even rows
 */
export function activationConstants(
  activation: Activation | { readonly kind: 'none' },
): Record<string, number | boolean> {
  const constants: Record<string, number | boolean> = {
    ACT_NONE: activation.kind === 'none',
    ACT_SILU: activation.kind === 'silu',
    ACT_GELU_TANH: activation.kind === 'gelu-tanh',
    ACT_RELU: activation.kind === 'relu',
    ...(activation.kind === 'none' ? {} : { ACT_UNGATED: !isGated(activation) }),
    ACT_CLAMPED: activation.kind === 'clamped-swiglu',
  };
  if (constants.ACT_UNGATED) return { ...constants, ACT_POWER: activation.kind === 'relu-squared' ? 2 : 1 };
  if (activation.kind !== 'clamped-swiglu') return constants;
  return { ...constants, ACT_ALPHA: activation.alpha, ACT_LIMIT: activation.limit };
}
