/**
 * Which of an operation's kernels. `decode` reads all weights for each token. `few` reads them once for up to FEW_TOKENS and gives each token the
 * bits that it has alone in `decode`. `prefill` shares what it reads among many; its sums have another order.
 */
export type Phase = 'decode' | 'few' | 'prefill';

/** Most tokens of a step of a few: those that share a row of weights in shaders/linear/few_rows. */
export const FEW_TOKENS = 8;
