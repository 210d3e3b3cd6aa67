/** Adds up what steps used: the snapshot that pages poll, and the events that they listen to. */
import { TIERS, type ExpertStore, type Tier } from '../moe/store.ts';
import type { ExpertStats, LayerPrediction, LayerStats, PrefetchStats, StepEvent, StoreMode } from './expert-stats.ts';
import type { Plan } from './plan.ts';
import type { StepRecord } from './step-record.ts';
import { VisitLog } from './visit-log.ts';

/** Tokens that "recent" means. */
const RECENT = 64;

/** How much a listener wants to know of each step. */
export type RecordLevel = 'counts' | 'ids';

interface LayerTotals {
  needed: number;
  hits: number;
  /** Of pairs of neighbouring tokens. */
  compared: number;
  repeated: number;
  last: Uint32Array | null;
  /** Tokens, experts used, named, and right among the best K and among all named. */
  readonly predicted: { tokens: number; used: number; named: number; right: number; wideRight: number };
}

interface Recent {
  readonly needed: number;
  readonly hits: number;
}

const noTotals = (): Omit<LayerTotals, 'predicted'> => ({ needed: 0, hits: 0, compared: 0, repeated: 0, last: null });
const noBytes = (): Record<Tier, number> => ({ memory: 0, disk: 0, network: 0 });

export class ExpertMonitor {
  #store: ExpertStore;
  readonly #syncMs: number;
  #plan: Plan;
  #mode: StoreMode;
  #steps = 0;
  #replays = 0;
  #stallMs = 0;
  readonly #bytes = noBytes();
  readonly #layers: LayerTotals[];
  readonly #recent: Recent[] = [];
  readonly #listeners = new Map<(event: StepEvent) => void, RecordLevel>();
  readonly #storageNote: () => string | null;
  /** Of the last tokens that ran while experts were missing. */
  readonly log = new VisitLog();
  storage: ExpertStats['storage'];
  download: ExpertStats['download'] = null;

  /**
   * @param approximations that are in use, in words
   * @param storageNote what has gone wrong with the storage since it was opened
   */
  constructor(
    store: ExpertStore,
    plan: Plan,
    storage: ExpertStats['storage'],
    readonly approximations: readonly string[] = [],
    storageNote: () => string | null = () => null,
    syncMs = 0,
  ) {
    this.#store = store;
    this.#storageNote = storageNote;
    this.storage = storage;
    this.#syncMs = syncMs;
    this.#plan = plan;
    this.#mode = plan.verdict === 'streams' ? 'optimistic' : 'resident';
    this.#layers = store.experts.map(() => ({
      ...noTotals(),
      predicted: { tokens: 0, used: 0, named: 0, right: 0, wideRight: 0 },
    }));
  }

  replanned(plan: Plan): void {
    this.#plan = plan;
  }

  /** The same model goes on in another store; what was counted stays. */
  moved(store: ExpertStore, plan: Plan, storage: ExpertStats['storage']): void {
    this.#store = store;
    this.#plan = plan;
    this.storage = storage;
    this.download = null;
  }

  readonly isWatched = (): boolean => !this.#store.isComplete || this.#listeners.size > 0;

  readonly add = (record: StepRecord): void => {
    this.#mode = record.mode;
    this.#steps++;
    this.#replays += record.replays;
    this.#stallMs += record.stallMs;
    if (record.mode !== 'resident') this.log.add(record);
    for (const tier of TIERS) this.#bytes[tier] += record.bytes[tier];
    let [needed, hits] = [0, 0];
    record.layers.forEach(({ brought, ids }, l) => {
      const layer = this.#layers[l]!;
      const there = brought.filter((b) => b.origin === 'slot').length;
      layer.needed += brought.length;
      layer.hits += there;
      needed += brought.length;
      hits += there;
      if (record.phase === 'decode' && ids) {
        compare(layer, ids);
        const prediction = record.predictions[l];
        if (prediction) judge(layer, ids, prediction);
      }
    });
    if (record.phase === 'decode' && needed > 0) {
      this.#recent.push({ needed, hits });
      if (this.#recent.length > RECENT) this.#recent.shift();
    }
    for (const [listener, level] of this.#listeners) {
      listener(record.event(level === 'ids', this.approximations));
    }
  };

  /** @returns stops listening */
  listen(listener: (event: StepEvent) => void, level: RecordLevel): () => void {
    this.#listeners.set(listener, level);
    return () => void this.#listeners.delete(listener);
  }

  stats(): ExpertStats {
    const { residency, experts } = this.#store;
    const total = this.#layers.reduce(addHits, { needed: 0, hits: 0 });
    return {
      mode: this.#store.isComplete ? 'resident' : this.#mode,
      slots: this.#plan.slots.count,
      experts: this.#store.total,
      resident: residency.ready,
      slotBytes: this.#plan.slots.bytesEach,
      steps: this.#steps,
      hitRate: rate(total),
      recentHitRate: rate(this.#recent.reduce(addHits, { needed: 0, hits: 0 })),
      replays: this.#replays,
      stallMs: this.#stallMs,
      bytes: { ...this.#bytes },
      layers: this.#layers.map((layer, l): LayerStats => ({
        experts: experts[l]!,
        resident: residency.readyOf(l),
        hitRate: rate(layer) ?? 0,
        overlap: layer.compared ? layer.repeated / layer.compared : 0,
        prediction: predictionOf(layer),
      })),
      measured: { syncMs: this.#syncMs, fillBytesPerSecond: this.#store.fillBytesPerSecond },
      ghost: this.#store.ghost.curve(moreSlots(this.#plan.slots.count, this.#store.total)),
      prefetch: prefetchOf(this.#store),
      download: this.download,
      storage: { ...this.storage, note: this.#storageNote() ?? this.storage.note },
      approximations: this.approximations,
    };
  }
}

const addHits = (a: Recent, b: Recent): Recent => ({ needed: a.needed + b.needed, hits: a.hits + b.hits });
const rate = ({ needed, hits }: Recent): number | null => (needed ? hits / needed : null);

/** A few steps up to all. */
function moreSlots(slots: number, total: number): number[] {
  const room = total - slots;
  return room > 0 ? [...new Set([1, 2, 3, 4].map((quarter) => Math.ceil((room * quarter) / 4)))] : [];
}

function prefetchOf({ governor }: ExpertStore): PrefetchStats {
  const { issued, useful, wasted, displacedDemand, busyShare } = governor.stats;
  return { issued, useful, wasted, displacedDemand, busyShare };
}

function judge({ predicted }: LayerTotals, ids: Uint32Array, prediction: Uint32Array): void {
  predicted.tokens++;
  predicted.used += ids.length;
  predicted.named += prediction.length;
  for (const id of ids) {
    const place = prediction.indexOf(id);
    if (place >= 0) predicted.wideRight++;
    if (place >= 0 && place < ids.length) predicted.right++;
  }
}

function predictionOf({ predicted: p }: LayerTotals): LayerPrediction | null {
  if (p.tokens === 0) return null;
  return {
    tokens: p.tokens,
    recall: p.right / p.used,
    wideRecall: p.wideRight / p.used,
    widePrecision: p.wideRight / p.named,
  };
}

function compare(layer: LayerTotals, ids: Uint32Array): void {
  if (layer.last) {
    layer.compared += ids.length;
    for (const id of ids) if (layer.last.includes(id)) layer.repeated++;
  }
  layer.last = ids;
}
