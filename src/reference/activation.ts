/** Twin of shaders/shared/activation.wgsl. */
import { isGated } from '../config/activation.ts';
import type { Activation } from '../config/model-config.ts';
import { gelu } from './gelu.ts';

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

type Ungated = Extract<Activation, { readonly kind: 'relu-squared' | 'relu-ungated' | 'gelu-ungated' }>;
type Gated = Exclude<Activation, Ungated | { readonly kind: 'double-gate' }>;

export const hasGate = (activation: Activation): activation is Gated => isGated(activation);

/** Of a value without a gate. */
export function activateUp({ kind }: Ungated, up: number): number {
  if (kind === 'gelu-ungated') return gelu(up);
  return kind === 'relu-squared' ? Math.max(up, 0) ** 2 : Math.max(up, 0);
}

/** Of a double gate, from the products of all first rows, all gates, all ups. */
export function tripled(products: ArrayLike<number>): Float64Array {
  const width = products.length / 3;
  const value = (f: number): number =>
    products[f]! * activate({ kind: 'silu' }, products[width + f]!, products[2 * width + f]!);
  return Float64Array.from({ length: width }, (_, f) => value(f));
}

/**
 * A row of values from its products, in pairs: gate and up of value f, or without a gate up f and up f + F / 2. Their number is even. Of a double gate the
 * products themselves, with the halves one behind the other.
 */
export function activated(activation: Activation, products: ArrayLike<number>): Float64Array {
  const pairs = products.length / 2;
  if (hasGate(activation))
    return Float64Array.from({ length: pairs }, (_, f) => activate(activation, products[2 * f]!, products[2 * f + 1]!));
  const halves = [0, 1].flatMap((half) => Array.from({ length: pairs }, (_, f) => products[2 * f + half]!));
  if (activation.kind === 'double-gate') return Float64Array.from(halves);
  return Float64Array.from(halves, (up) => activateUp(activation, up));
}

export function activate(activation: Gated, gate: number, up: number): number {
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
