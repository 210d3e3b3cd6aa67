/**
 * What goes on behind a chat: experts that are not here yet are brought, the popular ones first, into free slots and onto the disk, one at a time
 * and after whatever a token waits for.
 */
import { SourceError } from '../errors.ts';
import type { ExpertStore } from '../moe/store.ts';
import { sum } from '../util/math.ts';
import { sleep } from '../weights/retry.ts';
import type { DenseRecords } from './dense-records.ts';
import type { ExpertsSpec } from './describe/specs.ts';
import type { ExpertMonitor } from './expert-monitor.ts';
import type { ExpertFetcher } from './fetch.ts';

/** Wait after a failed fetch, and how many in a row end it. */
const RETRY_MS = 5000;
const MAX_FAILURES = 5;

export interface CollectorParts {
  readonly store: ExpertStore;
  readonly fetcher: ExpertFetcher;
  readonly experts: readonly ExpertsSpec[];
  readonly dense: DenseRecords | null;
  readonly monitor: ExpertMonitor;
}

export class Collector {
  readonly #parts: CollectorParts;
  readonly #controller = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(parts: CollectorParts) {
    this.#parts = parts;
  }

  start(): void {
    const { signal } = this.#controller;
    this.#running = this.#run(signal).catch((error: unknown) => {
      if (signal.aborted) return;
      const { monitor } = this.#parts;
      const why = error instanceof Error ? error.message : String(error);
      monitor.storage = { ...monitor.storage, note: `The rest is fetched when it is needed: ${why}` };
      monitor.download = null;
    });
  }

  /** Waits until it has let go. */
  async stop(): Promise<void> {
    this.#controller.abort(new DOMException('stopped', 'AbortError'));
    await this.#running;
  }

  get isStopped(): boolean {
    return this.#controller.signal.aborted;
  }

  /** Everything that will be kept is kept. */
  get done(): Promise<void> {
    return this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { dense, monitor, store } = this.#parts;
    await dense?.keepMissing(signal);
    const missing = this.#missing();
    const totalBytes = sum(missing.map((m) => m.bytes));
    let loadedBytes = 0;
    for (const { layer, expert, bytes } of missing) {
      monitor.download = { loadedBytes, totalBytes };
      await store.demand.none(signal);
      await this.#patiently(() => this.#collect(layer, expert, signal), signal);
      loadedBytes += bytes;
    }
    monitor.download = null;
  }

  /** In the order in which they are worth having: popular ones first, then as the model is. */
  #missing(): { readonly layer: number; readonly expert: number; readonly bytes: number }[] {
    const { store, fetcher, experts } = this.#parts;
    const all = experts.flatMap(({ count, storedBytes }, layer) =>
      Array.from({ length: count }, (_, expert) => ({
        layer,
        expert,
        bytes: storedBytes / count,
        popularity: store.policy.popularity(layer, expert),
      })),
    );
    return all
      .filter(({ layer, expert }) => !store.residency.has(layer, expert) || !fetcher.isKept(layer, expert))
      .sort((a, b) => b.popularity - a.popularity || a.layer - b.layer || a.expert - b.expert);
  }

  async #collect(layer: number, expert: number, signal: AbortSignal): Promise<void> {
    const { store, fetcher } = this.#parts;
    await store.fillFree(layer, expert, signal);
    if (fetcher.isKept(layer, expert) || !fetcher.mayKeep(layer)) return;
    await fetcher.collect(layer, expert, () => store.slotView(layer, expert), signal);
  }

  async #patiently(work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    for (let failures = 1; ; failures++) {
      try {
        await work();
        return;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof SourceError) || failures >= MAX_FAILURES) throw error;
        await sleep(RETRY_MS, signal);
      }
    }
  }
}
