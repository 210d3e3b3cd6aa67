/** What an activation asks of the matrices around it. */
import type { Activation } from './model-config.ts';

/** Rows of a feed-forward's first matrix that give one value: its up, a gate and an up, or a double gate's first, gate and up. */
export type ValueRows = 1 | 2 | 3;

export function valueRows({ kind }: Activation): ValueRows {
  if (kind === 'double-gate') return 3;
  return kind.endsWith('-ungated') || kind === 'relu-squared' ? 1 : 2;
}

/** Whether a value takes two products, one of which is its gate. */
export const isGated = (activation: Activation): boolean => valueRows(activation) === 2;

/** Rows of a feed-forward's first matrix for its `width` values. */
export const upRows = (width: number, activation: Activation): number => valueRows(activation) * width;
