/** The expert store of a loaded model with all that works behind it: what a model needs to start, resize and end it. */
import type { ExpertStore, Tier } from '../moe/store.ts';
import { expertBytesOf } from '../trace/of-run.ts';
import { PLACES, type Place } from '../trace/places.ts';
import { OutOfBudget } from '../errors.ts';
import { reportCache } from './cache-report.ts';
import { Collector } from './collector.ts';
import type { DenseRecords } from './dense-records.ts';
import type { ExpertsSpec } from './describe/specs.ts';
import type { ExpertMonitor } from './expert-monitor.ts';
import type { CacheReport } from './expert-stats.ts';
import type { ExpertFetcher } from './fetch.ts';
import type { Keeping } from './keeping.ts';
import { smallerPlans } from './open-store.ts';
import type { PlannedModel } from './open.ts';
import type { Plan } from './plan.ts';

const PLACE_OF_TIER: Readonly<Record<Tier, Place>> = { memory: 'in memory', disk: 'on disk', network: 'not kept' };

export interface ExpertServiceParts {
  readonly store: ExpertStore;
  readonly monitor: ExpertMonitor;
  readonly fetcher: ExpertFetcher;
  readonly experts: readonly ExpertsSpec[];
  readonly dense: DenseRecords | null;
  readonly keeping: Keeping | null;
  readonly planned: PlannedModel;
  /** What was allocated: `wanted`, or less. */
  readonly plan: Plan;
  /** What the caller asked for last; default: `planned.plan`. */
  readonly wanted?: Plan;
  /** Whether experts are fetched before anybody asks. */
  readonly collects: boolean;
  /** Records the programs that read experts again. */
  readonly rerecord: () => Promise<void>;
}

/** Steps between two notes of what is popular. */
const SAVE_EVERY = 128;
/** After memory ran out, asking for as much again waits this long. */
const GROW_AFTER_MS = 60_000;

export class ExpertService {
  readonly #parts: ExpertServiceParts;
  #collector: Collector | null = null;
  #plan: Plan;
  /** What the caller wants; more than `#plan` after memory ran out. */
  #wanted: Plan;
  #shrunkAt = -Infinity;
  /** Not even the fewest slots could be allocated: nothing runs until that succeeds. */
  #isHomeless = false;
  #steps = 0;

  constructor(parts: ExpertServiceParts) {
    this.#parts = parts;
    this.#plan = parts.plan;
    this.#wanted = parts.wanted ?? parts.planned.plan;
    if (this.#plan.slots.count < this.#wanted.slots.count) this.#shrunkAt = performance.now();
  }

  get plan(): Plan {
    return this.#plan;
  }

  /** What the caller asked for last; more than `plan` after memory ran out. */
  get wanted(): Plan {
    return this.#wanted;
  }

  get monitor(): ExpertMonitor {
    return this.#parts.monitor;
  }

  get store(): ExpertStore {
    return this.#parts.store;
  }

  get kept(): { readonly presentBytes: number; readonly totalBytes: number; readonly isComplete: boolean } | null {
    const { keeping } = this.#parts;
    if (!keeping) return null;
    const { presentBytes, totalBytes, isComplete } = keeping.records;
    return { presentBytes, totalBytes, isComplete };
  }

  /** [E] of each MoE layer: where every expert is, as its index in PLACES. */
  places(): Uint8Array<ArrayBuffer>[] {
    const { store, fetcher } = this.#parts;
    const placeOf = (layer: number, expert: number): Place =>
      store.residency.has(layer, expert)
        ? 'on the card'
        : store.residency.isLoading(layer, expert)
          ? 'loading'
          : PLACE_OF_TIER[fetcher.tierOf(layer, expert)];
    return store.experts.map((count, layer) =>
      Uint8Array.from({ length: count }, (_, expert) => PLACES.indexOf(placeOf(layer, expert))),
    );
  }

  /** null when no token was decoded while experts were missing. @throws the signal's reason */
  async cacheReport(signal?: AbortSignal): Promise<CacheReport | null> {
    signal?.throwIfAborted();
    const { store, monitor, experts } = this.#parts;
    const plan = this.#plan;
    const visits = monitor.log.visits({
      name: 'session',
      layers: store.experts.length,
      experts: Math.max(0, ...store.experts),
      topK: Math.max(0, ...experts.map((x) => x.topK)),
      expertBytes: expertBytesOf(plan),
    });
    return visits.decodeTokens > 0 ? reportCache({ visits, plan, policy: store.policy.name, signal }) : null;
  }

  start(): void {
    const { store, fetcher, experts, dense, monitor, keeping, collects } = this.#parts;
    if (!collects || (!keeping && store.isComplete)) {
      void keeping?.records.filled();
      return;
    }
    const collector = (this.#collector = new Collector({ store, fetcher, experts, dense, monitor }));
    collector.start();
    void collector.done.then(() => (collector.isStopped ? undefined : keeping?.records.filled()));
  }

  /** Everything that can be kept or brought ahead of time is. */
  async settled(): Promise<void> {
    await this.#collector?.done;
    await this.#parts.keeping?.records.sync();
  }

  /** After every step. */
  onStep(): void {
    if (++this.#steps % SAVE_EVERY === 0) void this.#savePopularity().catch(() => undefined);
  }

  async #savePopularity(): Promise<void> {
    const { keeping, store } = this.#parts;
    if (!keeping || store.experts.length === 0) return;
    await keeping.records.savePopularity(popularityOf(store));
  }

  /**
   * Another budget for the GPU; nothing may run meanwhile. Experts come back as they are needed.
   * @throws OutOfBudget when the model cannot run in it, and nothing changes; or when the GPU has no room even for the fewest slots
   */
  async resize(gpuBytes: number): Promise<void> {
    const wanted = this.#parts.planned.replan({ gpuBytes, expertsResident: undefined });
    if (wanted.verdict === 'does-not-fit') {
      throw new OutOfBudget(
        `The model takes at least ${wanted.minimumBytes} bytes of GPU memory, the budget is ${gpuBytes}`,
        { totalBytes: wanted.minimumBytes, budgetBytes: gpuBytes, suggestedGpuBytes: wanted.minimumBytes },
      );
    }
    this.#wanted = wanted;
    await this.#allocate(wanted);
  }

  /**
   * Tries to get back what memory was too short for. Between requests only.
   * @throws OutOfBudget when the model had to give up its slots and still gets none
   */
  async grow(): Promise<void> {
    if (this.#isHomeless) {
      await this.#allocate(this.#wanted);
      return;
    }
    if (this.#plan.slots.count >= this.#wanted.slots.count) return;
    if (performance.now() - this.#shrunkAt < GROW_AFTER_MS) return;
    await this.#allocate(this.#wanted);
  }

  async #allocate(wanted: Plan): Promise<void> {
    const { store, planned, monitor, rerecord } = this.#parts;
    if (!this.#isHomeless && sameArenas(wanted, this.#plan)) {
      this.#plan = wanted;
      monitor.replanned(wanted);
      return;
    }
    await this.#collector?.stop();
    const replan: PlannedModel['replan'] = (wishes) => planned.replan({ gpuBytes: wanted.budgetBytes, ...wishes });
    let refusal: OutOfBudget | undefined;
    for (const plan of this.#withPresent(smallerPlans({ plan: wanted, replan }), wanted)) {
      try {
        await store.resize(plan.arenas);
        this.#isHomeless = false;
        this.#plan = plan;
        this.#shrunkAt = plan === wanted ? -Infinity : performance.now();
        monitor.replanned(plan);
        await rerecord();
        this.start();
        return;
      } catch (error) {
        if (!(error instanceof OutOfBudget)) throw error;
        this.#isHomeless = true;
        refusal = error;
      }
    }
    throw refusal!;
  }

  /** Of plans for `wanted`, fewer slots each time; what is there now comes back before anything smaller is tried. */
  *#withPresent(plans: Iterable<Plan>, { slots, budgetBytes }: Plan): Generator<Plan> {
    const present = this.#plan;
    let isLarger = !this.#isHomeless && slots.count > present.slots.count;
    for (const plan of plans) {
      if (isLarger && plan.slots.count <= present.slots.count) {
        isLarger = false;
        if (plan.slots.count < present.slots.count) yield { ...present, budgetBytes };
      }
      yield plan;
    }
  }

  /** The same refusal of room for something beside the plan, with the budget under which there would be some: fewer slots, if any can go. */
  withSuggestion(refusal: OutOfBudget): OutOfBudget {
    const { message, details } = refusal;
    const { totalBytes, minimumBytes } = this.#plan;
    const left = totalBytes - Number(details.bytes);
    const suggestedGpuBytes = left >= minimumBytes ? left : null;
    return new OutOfBudget(message, { ...details, suggestedGpuBytes }, { cause: refusal });
  }

  /** The device is gone: nothing is brought or kept from it any more. */
  abandon(): void {
    void this.#collector?.stop();
  }

  /** Lets go of everything; what is kept stays usable. */
  async close(): Promise<void> {
    const { store, keeping, fetcher, dense } = this.#parts;
    await this.#collector?.stop();
    await store.settle();
    if (keeping) {
      await this.#savePopularity();
      await keeping.records.close();
    }
    fetcher.dispose();
    dense?.dispose();
  }
}

/** [layers, experts], with zeros where a layer has fewer experts than another. */
export function popularityOf({ experts, policy }: ExpertStore): Float32Array<ArrayBuffer> {
  const most = Math.max(...experts);
  const values = new Float32Array(experts.length * most);
  experts.forEach((count, layer) => {
    for (let e = 0; e < count; e++) values[layer * most + e] = policy.popularity(layer, e);
  });
  return values;
}

const sameArenas = (a: Plan, b: Plan): boolean => JSON.stringify(a.arenas) === JSON.stringify(b.arenas);
