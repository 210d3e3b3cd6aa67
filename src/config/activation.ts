/** What an activation asks of the matrices around it. */
import type { Activation } from './model-config.ts';

/** Whether a value takes two products, one of which is its gate. */
export const isGated = ({ kind }: Activation): boolean => kind !== 'relu-squared' && kind !== 'relu-ungated';

/** Rows of a feed-forward's first matrix: a gate and an up for each of its `width` values, or the up alone. */
export const upRows = (width: number, activation: Activation): number => (isGated(activation) ? 2 * width : width);
