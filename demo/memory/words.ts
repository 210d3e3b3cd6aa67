/** What an amount of graphics memory means, in plain words. */
import type { StoreMode } from '../../src/index.ts';
import { formatBytes, formatCount, formatRate } from '../format.ts';

/** `3.20 GB · 96 of 128 experts` */
export const amountText = (bytes: number, count: number, experts: number): string =>
  `${formatBytes(bytes)} · ${count >= experts ? `all ${formatCount(experts)}` : `${formatCount(count)} of ${formatCount(experts)}`} experts`;

const EXPECT: Readonly<Record<StoreMode, string>> = {
  resident: 'Every expert stays on the card: nothing has to be fetched while it writes.',
  optimistic: 'The experts it uses most stay on the card. Now and then a word waits for one that is fetched.',
  lockstep: 'Experts that are not on the card are fetched layer by layer: nearly every word waits for some.',
};

export const expectText = (mode: StoreMode, tokensPerSecond: number | null = null): string =>
  EXPECT[mode] + (tokensPerSecond === null ? '' : ` Expect about ${formatRate(tokensPerSecond)}.`);
