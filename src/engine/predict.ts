/** What to expect of a plan before anything runs: the mode, and about how many tokens a second. Arithmetic on assumptions, all of them named. */
import type { StoreMode } from './expert-stats.ts';

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

/** Share of the experts that have a slot, and the hit rate that the default policy reached there on recorded routing: docs/policies.md. */
const HIT_RATES: readonly (readonly [share: number, hitRate: number])[] = [
  [0, 0],
  [0.05, 0.4],
  [0.1, 0.6],
  [0.2, 0.78],
  [0.33, 0.9],
  [0.5, 0.96],
  [0.75, 0.985],
  [1, 1],
];

export function expectedHitRate(share: number): number {
  const at = HIT_RATES.findIndex(([s]) => s >= share);
  if (at <= 0) return at < 0 ? 1 : 0;
  const [s0, h0] = HIT_RATES[at - 1]!;
  const [s1, h1] = HIT_RATES[at]!;
  return h0 + ((share - s0) / (s1 - s0)) * (h1 - h0);
}

/** A token's work. */
export interface TokenWork {
  readonly layers: number;
  /** Of each MoE layer. */
  readonly moe: readonly { readonly topK: number; readonly slotBytes: number }[];
  /** Weights read outside the experts. */
  readonly denseBytes: number;
  /** Share of the experts that have a slot. */
  readonly share: number;
}

const DISPATCHES_A_LAYER = 8;
/** See ModePicker. */
const REPLAYS_PER_MISS = 0.35;
const REPLAYED_SHARE = 0.6;

/** @returns the cheaper mode, and seconds a token in it */
export function predict(work: TokenWork, hardware: Hardware): { readonly mode: StoreMode; readonly seconds: number } {
  const { memoryBytesPerSecond, fetchBytesPerSecond, syncSeconds, dispatchSeconds } = hardware;
  const chosenBytes = work.moe.reduce((n, { topK, slotBytes }) => n + topK * slotBytes, 0);
  const compute =
    (work.denseBytes + chosenBytes) / memoryBytesPerSecond + work.layers * DISPATCHES_A_LAYER * dispatchSeconds;
  if (work.share >= 1) return { mode: 'resident', seconds: compute + syncSeconds };
  const hit = expectedHitRate(work.share);
  const fetching = ((1 - hit) * chosenBytes) / fetchBytesPerSecond;
  const replays = REPLAYS_PER_MISS * work.moe.reduce((n, { topK }) => n + 1 - hit ** topK, 0);
  const optimistic = compute * (1 + REPLAYED_SHARE * replays) + (1 + replays) * syncSeconds;
  const lockstep = compute + (work.moe.length + 1) * syncSeconds;
  return optimistic <= lockstep
    ? { mode: 'optimistic', seconds: optimistic + fetching }
    : { mode: 'lockstep', seconds: lockstep + fetching };
}
