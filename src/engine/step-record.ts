/** What one exact step used, waited for and moved: filled in by the stepper, read by statistics and listeners. */
import type { Brought, Filled, Tier } from '../moe/store.ts';
import type { ExpertOrigin, LayerEvent, StepEvent, StoreMode } from './expert-stats.ts';
import type { Batch } from './forward/batch.ts';
import type { TokenCost } from './mode.ts';

export interface LayerAccount {
  readonly brought: readonly Brought[];
  /** Of a token, [K] in rank order. */
  readonly ids?: Uint32Array;
  readonly weights?: Float32Array;
  /** Of a prompt, [E]: how many of its tokens took each expert. */
  readonly rows?: Uint32Array;
}

interface LayerRecord {
  brought: Brought[];
  ids: Uint32Array | undefined;
  weights: Float32Array | undefined;
  rows: Uint32Array | undefined;
}

export class StepRecord implements TokenCost {
  readonly phase: 'prefill' | 'decode';
  readonly position: number;
  readonly tokens: number;
  /** false: nobody would read what each layer used. */
  readonly isWanted: boolean;
  mode: StoreMode = 'resident';
  /** Which program the step ran. */
  batch: Batch = 'one';
  stallMs = 0;
  replays = 0;
  ms = 0;
  readonly bytes: Record<Tier, number> = { memory: 0, disk: 0, network: 0 };
  readonly layers: LayerRecord[];
  /** Fetched for a layer whose turn has not come yet. */
  readonly #early = new Map<number, readonly Brought[]>();
  /** What the layer before predicted, best first. */
  readonly predictions: (Uint32Array | undefined)[] = [];
  /** What the request changed in the choice of experts, in words. */
  interventions: readonly string[] = [];
  readonly #startedAt = performance.now();

  constructor(
    layers: number,
    step: { readonly phase: 'prefill' | 'decode'; readonly position: number; readonly tokens: number },
    isWanted: boolean,
  ) {
    this.phase = step.phase;
    this.position = step.position;
    this.tokens = step.tokens;
    this.isWanted = isWanted;
    this.layers = Array.from({ length: layers }, () => ({
      brought: [],
      ids: undefined,
      weights: undefined,
      rows: undefined,
    }));
  }

  /** Adds to what a layer used. */
  layer(layer: number, { brought, ids, weights, rows }: LayerAccount): void {
    const record = this.layers[layer]!;
    const early = this.#early.get(layer);
    this.#count(brought);
    for (const b of brought) {
      record.brought.push(early?.find((x) => x.expert === b.expert) ?? b);
    }
    record.ids = ids;
    record.weights = weights;
    record.rows = rows;
  }

  /** Experts that were fetched for a layer which will be run again. */
  early(layer: number, brought: readonly Brought[]): void {
    this.#early.set(
      layer,
      brought.filter((b) => b.origin !== 'slot'),
    );
    this.#count(brought);
  }

  #count(brought: readonly Brought[]): void {
    for (const b of brought) if (b.bytes > 0) this.bytes[b.origin as Tier] += b.bytes;
  }

  /** Waits for experts, on the clock. */
  async waitFor<T>(experts: Promise<T>): Promise<T> {
    const startedAt = performance.now();
    try {
      return await experts;
    } finally {
      this.stallMs += performance.now() - startedAt;
    }
  }

  /** What the layer before expects of a layer. */
  predict(layer: number, ids: Uint32Array): void {
    if (ids.length > 0) this.predictions[layer] = ids;
  }

  /** A guess was fetched. */
  moved({ tier, bytes }: Filled): void {
    this.bytes[tier] += bytes;
  }

  /** @param ms its share of a step that several tokens had; default: since it began */
  finish(ms = performance.now() - this.#startedAt): void {
    this.ms = ms;
  }

  get missedLayers(): number {
    return this.layers.filter(({ brought }) => brought.some((b) => b.origin !== 'slot')).length;
  }

  /** @param withIds level `ids`: which experts, and where each came from */
  event(withIds: boolean, approximations: readonly string[]): StepEvent {
    return {
      phase: this.phase,
      mode: this.mode,
      position: this.position,
      tokens: this.tokens,
      ms: this.ms,
      stallMs: this.stallMs,
      replays: this.replays,
      bytes: { ...this.bytes },
      layers: this.layers.map((layer) => layerEvent(layer, withIds)),
      approximations,
      interventions: this.interventions,
    };
  }
}

function layerEvent({ brought, ids, weights }: LayerRecord, withIds: boolean): LayerEvent {
  const counts = { needed: brought.length, hits: brought.filter((b) => b.origin === 'slot').length };
  if (!withIds || !ids || !weights) return counts;
  // An expert without weights is always there.
  const origin = new Map<number, ExpertOrigin>(brought.map((b) => [b.expert, b.origin]));
  return { ...counts, ids, weights, origins: [...ids].map((id) => origin.get(id) ?? 'slot') };
}
