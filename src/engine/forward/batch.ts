/** How many tokens a step takes at once, which decides the kernels that it runs. */
import type { Phase } from '../../kernels/phase.ts';

/** One token, a few (2 to `Forward.fewTokens`) that get the bits they would get one by one, or a chunk of a prompt. */
export type Batch = 'one' | 'few' | 'chunk';

export const PHASES: Readonly<Record<Batch, Phase>> = { one: 'decode', few: 'few', chunk: 'prefill' };
