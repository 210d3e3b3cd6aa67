/** Twin of shaders/shared/activation.wgsl. */
import type { Activation } from '../config/model-config.ts';

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

export function activate(activation: Activation, gate: number, up: number): number {
  if (activation.kind === 'silu') return gate * sigmoid(gate) * up;
  if (activation.kind === 'gelu-tanh') {
    const u = Math.sqrt(2 / Math.PI) * (gate + 0.044715 * gate ** 3);
    return 0.5 * gate * (1 + Math.tanh(u)) * up;
  }
  if (activation.kind === 'relu') return Math.max(gate, 0) * up;
  const g = Math.min(gate, activation.limit);
  const u = Math.max(-activation.limit, Math.min(activation.limit, up));
  return (u + 1) * g * sigmoid(activation.alpha * g);
}
