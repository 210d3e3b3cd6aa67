/** What to expect of a plan before anything runs: the mode, and about how many tokens a second. Arithmetic on assumptions, all of them named. */
import { sum } from '../util/math.ts';
import type { StoreMode } from './expert-stats.ts';
import { REPLAYS_PER_MISS, tokenTime } from './mode.ts';

/** A device, as far as a token's time goes. */
export interface Hardware {
  /** Weights that a kernel streams a second. */
  readonly memoryBytesPerSecond: number;
  /** Experts that come into slots a second. */
  readonly fetchBytesPerSecond: number;
  /** A submit and its readback. */
  readonly syncSeconds: number;
  /** One dispatch more. */
  readonly dispatchSeconds: number;
}

/** A middling graphics card and a solid-state disk: 200 GB/s, 2 GB/s, half a millisecond, 10 microseconds. */
export const TYPICAL_HARDWARE: Hardware = {
  memoryBytesPerSecond: 200e9,
  fetchBytesPerSecond: 2e9,
  syncSeconds: 0.5e-3,
  dispatchSeconds: 10e-6,
};

/**
 * What locality adds to chance: slots in units of one token's experts, and the share of the misses of a random choice that the default policy turned
 * into hits there on recorded routing. Two very different models lie on one curve: a token of the shipped one takes half of all experts, one of
 * Qwen3-30B a twentieth (docs/policies.md).
 */
const LOCALITY: readonly (readonly [tokensOfSlots: number, gain: number])[] = [
  [0, 0],
  [0.4, 0.1],
  [0.66, 0.17],
  [1, 0.33],
  [1.5, 0.43],
  [2.1, 0.55],
  [4.3, 0.74],
  [7, 0.87],
  [10.7, 0.93],
  [100, 1],
];

/**
 * @param share of the experts that have a slot
 * @param perToken share of the experts that a token takes, K / E
 */
export function expectedHitRate(share: number, perToken: number): number {
  if (share >= 1) return 1;
  const slots = share / perToken;
  const at = LOCALITY.findIndex(([s]) => s >= slots);
  if (at <= 0) return at < 0 ? 1 : 0;
  const [s0, g0] = LOCALITY[at - 1]!;
  const [s1, g1] = LOCALITY[at]!;
  return share + (1 - share) * (g0 + ((slots - s0) / (s1 - s0)) * (g1 - g0));
}

/** A token's work. */
export interface TokenWork {
  readonly layers: number;
  /** Of each MoE layer. */
  readonly moe: readonly { readonly topK: number; readonly experts: number; readonly slotBytes: number }[];
  /** Weights read outside the experts. */
  readonly denseBytes: number;
  /** Share of the experts that have a slot. */
  readonly share: number;
}

const DISPATCHES_A_LAYER = 8;

/** @returns the cheaper mode, and seconds a token in it */
export function predict(work: TokenWork, hardware: Hardware): { readonly mode: StoreMode; readonly seconds: number } {
  const { memoryBytesPerSecond, fetchBytesPerSecond, syncSeconds, dispatchSeconds } = hardware;
  const chosenBytes = work.moe.reduce((n, { topK, slotBytes }) => n + topK * slotBytes, 0);
  const compute =
    (work.denseBytes + chosenBytes) / memoryBytesPerSecond + work.layers * DISPATCHES_A_LAYER * dispatchSeconds;
  if (work.share >= 1) return { mode: 'resident', seconds: compute + syncSeconds };
  const taken = sum(work.moe.map((m) => m.topK)) / sum(work.moe.map((m) => m.experts));
  const hit = expectedHitRate(work.share, taken);
  const fetching = ((1 - hit) * chosenBytes) / fetchBytesPerSecond;
  const replays = REPLAYS_PER_MISS * work.moe.reduce((n, { topK }) => n + 1 - hit ** topK, 0);
  const times = { compute, sync: syncSeconds, layers: work.moe.length, replays };
  const [optimistic, lockstep] = [tokenTime('optimistic', times), tokenTime('lockstep', times)];
  return optimistic <= lockstep
    ? { mode: 'optimistic', seconds: optimistic + fetching }
    : { mode: 'lockstep', seconds: lockstep + fetching };
}
