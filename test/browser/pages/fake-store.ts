/** A scripted expert store: 128 experts of 90 MB beside 1.2 GB of other weights, in four layers. */
import type { ExpertStore, PagePlan, SlotPlan } from '../../../demo/engine.ts';
import type { ExpertStats, StepEvent } from '../../../src/index.ts';
import type { FakeError } from './fake.ts';

const EXPERTS = 128;
const MINIMUM = 20;
const EACH = 90e6;
const REST = 1.2e9;
const DEFAULT_BUDGET = 6e9;
const LAYERS = 4;

/** As an engine would plan it. */
export function fakePlan(
  gpuBytes = DEFAULT_BUDGET,
): SlotPlan & Pick<PagePlan, 'totalBytes' | 'budgetBytes' | 'downloadBytes'> {
  const count = Math.max(MINIMUM, Math.min(EXPERTS, Math.floor((gpuBytes - REST) / EACH)));
  const mode = count === EXPERTS ? 'resident' : count >= 64 ? 'optimistic' : 'lockstep';
  return {
    slots: { count, experts: EXPERTS, minimum: MINIMUM, bytesEach: EACH },
    mode,
    minimumBytes: REST + MINIMUM * EACH,
    fullBytes: REST + EXPERTS * EACH,
    tokensPerSecond: mode === 'lockstep' ? null : 4 + 36 * (count / EXPERTS) ** 2,
    totalBytes: REST + count * EACH,
    budgetBytes: gpuBytes,
    downloadBytes: REST + EXPERTS * EACH,
  };
}

/** A `StepEvent` of one token, as far as a test cares. */
export interface FakeToken {
  readonly hits: number;
  readonly needed?: number;
  readonly ms?: number;
  readonly stallMs?: number;
}

export class StoreScript {
  readonly resizes: number[] = [];
  readonly #error: (kind: FakeError) => unknown;
  readonly #listeners = new Set<(event: StepEvent) => void>();
  #stats: ExpertStats | null = null;
  #resize: { resolve: () => void; reject: (error: unknown) => void } | undefined;

  constructor(error: (kind: FakeError) => unknown) {
    this.#error = error;
  }

  get listening(): number {
    return this.#listeners.size;
  }

  /** What a model with this store adds to another. */
  open(gpuBytes?: number): ExpertStore {
    const { slots, mode } = fakePlan(gpuBytes);
    const layer = { experts: EXPERTS / LAYERS, resident: 0, hitRate: 0, overlap: 0, prediction: null };
    this.#stats = {
      mode,
      slots: slots.count,
      experts: EXPERTS,
      resident: slots.count,
      slotBytes: EACH,
      steps: 0,
      hitRate: null,
      recentHitRate: null,
      replays: 0,
      stallMs: 0,
      bytes: { memory: 0, disk: 0, network: 0 },
      layers: Array.from({ length: LAYERS }, (_, i) => ({
        ...layer,
        resident: Math.round(slots.count / LAYERS),
        hitRate: 0.95 - 0.1 * i,
        overlap: 0.4,
        prediction: null,
      })),
      ghost: [],
      measured: { syncMs: 1, fillBytesPerSecond: null },
      prefetch: { issued: 0, useful: 0, wasted: 0, displacedDemand: 0, busyShare: 0 },
      download: null,
      storage: { kind: 'opfs', note: null },
      approximations: [],
    };
    return {
      setGpuBytes: (bytes) => {
        this.resizes.push(bytes);
        return new Promise<void>((resolve, reject) => (this.#resize = { resolve, reject }));
      },
      expertStats: async () => this.#stats,
      onStep: (listener) => {
        this.#listeners.add(listener);
        return () => void this.#listeners.delete(listener);
      },
    };
  }

  change(stats: Partial<ExpertStats>): void {
    if (this.#stats) this.#stats = { ...this.#stats, ...stats };
  }

  token({ hits, needed = 16, ms = 100, stallMs = 0 }: FakeToken): void {
    const event: StepEvent = {
      phase: 'decode',
      mode: this.#stats?.mode ?? 'lockstep',
      position: 0,
      tokens: 1,
      ms,
      stallMs,
      replays: 0,
      bytes: { memory: 0, disk: 0, network: 0 },
      layers: [{ needed, hits }],
      approximations: [],
    };
    for (const listener of this.#listeners) listener(event);
  }

  finishResize(): void {
    const { slots, mode } = fakePlan(this.resizes.at(-1));
    this.change({ slots: slots.count, resident: slots.count, mode });
    this.#resize?.resolve();
  }

  failResize(kind: FakeError): void {
    this.#resize?.reject(this.#error(kind));
  }
}
