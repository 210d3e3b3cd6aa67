/** Which way a token is run while some experts are missing: whichever costs less by what was measured so far. */
import type { StoreMode } from './expert-stats.ts';

export type ModeOption = 'auto' | StoreMode;

/** What a finished token tells. */
export interface TokenCost {
  readonly mode: StoreMode;
  readonly ms: number;
  readonly stallMs: number;
  readonly replays: number;
  /** Layers whose experts were not all there when the token began. */
  readonly missedLayers: number;
}

/** A new value counts this much in the running averages. */
const RATE = 0.15;
/** Of the layers that miss, about so many make an optimistic token start again: the guesses of the pass before cover the others. */
export const REPLAYS_PER_MISS = 0.35;
/** A replay runs the layers from the first that missed: on average this share of them. */
const REPLAYED_SHARE = 0.6;
/** The mode that looks dearer is tried this often, so that the estimate stays honest. */
const PROBE_EVERY = 64;

/** What a token's time depends on, waiting for experts apart: that is the same in both modes. All times in one unit. */
export interface TokenTimes {
  /** Of one pass through all layers. */
  readonly compute: number;
  /** A submit and its readback. */
  readonly sync: number;
  /** MoE layers. */
  readonly layers: number;
  /** Passes beyond the first of an optimistic token. */
  readonly replays: number;
}

export function tokenTime(mode: 'optimistic' | 'lockstep', { compute, sync, layers, replays }: TokenTimes): number {
  if (mode === 'lockstep') return compute + (layers + 1) * sync;
  return compute * (1 + REPLAYED_SHARE * replays) + (1 + replays) * sync;
}

export class ModePicker {
  readonly #layers: number;
  readonly #forced: StoreMode | null;
  /** One submit and its readback, in ms. */
  readonly #syncMs: number;
  #computeMs: number | null = null;
  #replays: number | null = null;
  #tokens = 0;

  /** @param layers MoE layers */
  constructor(layers: number, option: ModeOption, syncMs: number) {
    this.#layers = layers;
    this.#forced = option === 'auto' ? null : option;
    this.#syncMs = syncMs;
  }

  get syncMs(): number {
    return this.#syncMs;
  }

  /** `resident` is what a complete store does by itself; asked for one that is not complete, it means optimistic. */
  pick(): 'optimistic' | 'lockstep' {
    if (this.#forced) return this.#forced === 'lockstep' ? 'lockstep' : 'optimistic';
    if (this.#computeMs === null || this.#replays === null) return 'optimistic';
    const cheaper = this.estimate('optimistic') <= this.estimate('lockstep') ? 'optimistic' : 'lockstep';
    if (++this.#tokens % PROBE_EVERY > 0) return cheaper;
    return cheaper === 'optimistic' ? 'lockstep' : 'optimistic';
  }

  /** Milliseconds of a token, waiting for experts apart: that is the same in both. */
  estimate(mode: 'optimistic' | 'lockstep'): number {
    return tokenTime(mode, {
      compute: this.#computeMs ?? 0,
      sync: this.#syncMs,
      layers: this.#layers,
      replays: this.#replays ?? 0,
    });
  }

  learn({ mode, ms, stallMs, replays, missedLayers }: TokenCost): void {
    const busy = Math.max(0, ms - stallMs);
    const compute =
      mode === 'lockstep'
        ? busy - (this.#layers + 1) * this.#syncMs
        : (busy - (1 + replays) * this.#syncMs) / (1 + REPLAYED_SHARE * replays);
    const seen = mode === 'lockstep' ? missedLayers * REPLAYS_PER_MISS : replays;
    const average = (old: number | null, value: number): number => (old === null ? value : old + RATE * (value - old));
    this.#computeMs = average(this.#computeMs, Math.max(0, compute));
    this.#replays = average(this.#replays, seen);
  }
}
