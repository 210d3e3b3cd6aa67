/** Which of a layer's experts have weights. */
import type { MoeFfn } from './model-config.ts';

/** How many do: the first. */
export const weighted = ({ experts, nulls = 0 }: Pick<MoeFfn, 'experts' | 'nulls'>): number => experts - nulls;
