/**
 * The expert store: brings experts into slots and says when they are there. A slot's table entry is set after its bytes, on one queue, so that no
 * submit ever sees a slot with the wrong expert; an expert that could not be fetched leaves a free slot behind.
 */
import type { BufferView } from '../gpu/buffer.ts';
import { Ghost } from '../policy/ghost.ts';
import { PrefetchGovernor } from '../policy/governor.ts';
import type { ResidencyPolicy } from '../policy/policy.ts';
import { orAborted } from '../util/abort.ts';
import { invariant } from '../util/assert.ts';
import type { ArenaShape, ExpertHomes } from './homes.ts';
import { Demand } from './demand.ts';
import { Residency } from './residency.ts';
import { MISSING_SLOT } from './slots.ts';

/** Where an expert's bytes were. */
export type Tier = 'memory' | 'disk' | 'network';
export const TIERS: readonly Tier[] = ['memory', 'disk', 'network'];

export interface Filled {
  readonly tier: Tier;
  readonly bytes: number;
}

/** Writes one expert into a slot; nothing may be written after it rejects. */
export type FillSlot = (layer: number, expert: number, slot: BufferView, signal?: AbortSignal) => Promise<Filled>;

export interface BringOptions {
  /** The layer that runs now, or next. */
  readonly atLayer: number;
  /** Experts that must not leave for these. */
  readonly isKept: (layer: number, expert: number) => boolean;
  /** Experts that had better stay, too. */
  readonly isSpared?: ((layer: number, expert: number) => boolean) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What became of the experts that a layer asked for. */
export interface Brought {
  readonly expert: number;
  readonly origin: 'slot' | 'prefetched' | Tier;
  /** Moved for this request; 0 when it was there or on its way. */
  readonly bytes: number;
}

interface Loading {
  readonly done: Promise<Filled>;
  readonly controller: AbortController;
  /** Nobody needs it for certain. */
  speculative: boolean;
}

export interface ExpertStoreParts {
  readonly homes: ExpertHomes;
  readonly experts: readonly number[]; // E of each MoE layer
  readonly arenas: readonly ArenaShape[];
  readonly policy: ResidencyPolicy;
  readonly fill: FillSlot;
}

export class ExpertStore {
  readonly residency: Residency;
  readonly policy: ResidencyPolicy;
  readonly experts: readonly number[];
  readonly total: number;
  readonly #homes: ExpertHomes;
  readonly #fill: FillSlot;
  readonly #most: number;
  readonly #loading = new Map<number, Loading>();
  readonly #followers = new WeakMap<AbortSignal, Set<AbortController>>();
  /** By key: brought by a guess, and not used yet. */
  readonly #guessed: Uint8Array;
  readonly governor = new PrefetchGovernor();
  /** What more slots would bring. */
  readonly ghost: Ghost;
  readonly demand = new Demand();
  evictions = 0;
  #busyMs = 0;
  #busySince = 0;
  /** Since the start: bytes that came into slots, and the time in which any were coming. */
  #filledBytes = 0;
  #filledMs = 0;

  constructor({ homes, experts, arenas, policy, fill }: ExpertStoreParts) {
    this.#homes = homes;
    this.experts = experts;
    this.total = experts.reduce((a, b) => a + b, 0);
    this.policy = policy;
    this.#fill = fill;
    this.#most = Math.max(0, ...experts);
    this.residency = new Residency({ experts, arenas }, policy);
    this.#guessed = new Uint8Array(experts.length * this.#most);
    this.ghost = new Ghost(Math.max(1, this.total));
  }

  /** Every expert is on the GPU: nothing can be missed. */
  get isComplete(): boolean {
    return this.residency.ready === this.total;
  }

  /**
   * Brings experts of a layer into slots, all or an error.
   * @param experts distinct, no more than the layer's arena has slots
   * @throws what the fetch threw, once nothing is on its way any more; the signal's reason
   */
  async bring(layer: number, experts: readonly number[], options: BringOptions): Promise<Brought[]> {
    const asked = new Set(experts);
    const isKept = (l: number, e: number): boolean => (l === layer && asked.has(e)) || options.isKept(l, e);
    const isWaiting = experts.some((e) => !this.residency.has(layer, e));
    const end = isWaiting ? this.demand.begin() : null;
    // Those on their way first, so that they are not evicted by those that come after them.
    const results = await Promise.allSettled(experts.map((e) => this.#need(layer, e, { ...options, isKept })));
    end?.();
    const brought: Brought[] = [];
    for (const result of results) {
      if (result.status === 'rejected') throw result.reason;
      brought.push(result.value);
    }
    return brought;
  }

  async #need(layer: number, expert: number, options: BringOptions): Promise<Brought> {
    const key = this.#keyOf(layer, expert);
    let wasUnderway = false;
    if (!this.residency.has(layer, expert)) {
      this.governor.onMiss(key);
      this.ghost.onMiss(key);
    }
    for (;;) {
      options.signal?.throwIfAborted();
      if (this.residency.has(layer, expert)) {
        const origin = this.use(layer, expert);
        return { expert, origin: wasUnderway ? 'prefetched' : origin, bytes: 0 };
      }
      const underway = this.#loading.get(key);
      if (underway) {
        if (underway.speculative) this.governor.onUse(key);
        underway.speculative = false;
        wasUnderway = true;
        // Whoever started it may have given up; then it is ours.
        await orAborted(
          underway.done.catch(() => undefined),
          options.signal,
        );
        continue;
      }
      const load = this.#start(layer, expert, options);
      if (load) {
        const { tier, bytes } = await load.done;
        this.ghost.onLookups(1);
        return { expert, origin: tier, bytes };
      }
      await this.#someSlot();
    }
  }

  /**
   * Starts to bring an expert that may be needed.
   * @param isLikely the token itself, run with what was there, chose it; else it takes no slot of an expert that is as popular as itself
   * @returns null when it is there, on its way, or has no slot to go to; else what settles when it is there or given up
   */
  guess(layer: number, expert: number, options: BringOptions, isLikely = false): Promise<Filled | null> | null {
    if (this.residency.has(layer, expert) || this.residency.isLoading(layer, expert)) return null;
    const chance = Math.max(this.policy.popularity(layer, expert), this.governor.guessChance);
    const isKept = (l: number, e: number): boolean =>
      options.isKept(l, e) || (!isLikely && !this.governor.admits(chance, this.policy.popularity(l, e)));
    const load = this.#start(layer, expert, { ...options, isKept }, true);
    return load && load.done.catch(() => null); // a guess that fails is no failure
  }

  /**
   * Brings an expert into a slot that nobody has.
   * @returns false when there is none, or somebody else has brought it
   * @throws what the fetch threw; the signal's reason
   */
  async fillFree(layer: number, expert: number, signal?: AbortSignal): Promise<boolean> {
    // Whoever waits for it sees why it did not come.
    const underway = this.#loading.get(this.#keyOf(layer, expert));
    if (underway)
      await orAborted(
        underway.done.catch(() => undefined),
        signal,
      );
    if (this.residency.has(layer, expert) || this.residency.isLoading(layer, expert)) return false;
    const load = this.#start(layer, expert, { atLayer: 0, isKept: () => true, signal });
    await load?.done;
    return load !== null;
  }

  /** The slot of an expert that is there; null when it is not. */
  slotView(layer: number, expert: number): BufferView | null {
    const slot = this.residency.slotOf(layer, expert);
    return slot === null ? null : this.#homes.slotView(layer, slot);
  }

  /** Notes that an expert which is there was used. @returns how it came to be there */
  use(layer: number, expert: number): 'slot' | 'prefetched' {
    const key = this.#keyOf(layer, expert);
    this.ghost.onLookups(1);
    if (!this.#guessed[key]) return 'slot';
    this.#guessed[key] = 0;
    this.governor.onUse(key);
    return 'prefetched';
  }

  /** Gives up guesses for a layer that nobody waits for. */
  dropGuesses(layer: number, isWanted: (expert: number) => boolean): void {
    for (const [key, { speculative, controller }] of this.#loading) {
      if (speculative && Math.floor(key / this.#most) === layer && !isWanted(key % this.#most)) {
        controller.abort(new DOMException('a guess that turned out wrong', 'AbortError'));
      }
    }
  }

  #start(layer: number, expert: number, options: BringOptions, speculative = false): Loading | null {
    const { atLayer, isKept, isSpared } = options;
    const key = this.#keyOf(layer, expert);
    const claim =
      (isSpared && this.residency.claim(layer, expert, atLayer, (l, e) => isKept(l, e) || isSpared(l, e))) ??
      this.residency.claim(layer, expert, atLayer, isKept);
    if (!claim) return null;
    const { slot, evicted } = claim;
    if (evicted) this.#onEvicted(evicted.layer, evicted.expert);
    if (speculative) this.governor.onGuess(key, evicted && this.#keyOf(evicted.layer, evicted.expert));
    this.ghost.onLoad(key);
    if (this.#loading.size === 0) this.#busySince = performance.now();
    const controller = new AbortController();
    const forget = this.#follow(options.signal, controller);
    const done = this.#fill(layer, expert, this.#homes.slotView(layer, slot), controller.signal)
      .then(
        (filled) => {
          this.#filledBytes += filled.bytes;
          this.residency.settle(layer, expert);
          this.#homes.setSlot(layer, expert, slot);
          this.#guessed[key] = this.#loading.get(key)?.speculative ? 1 : 0;
          return filled;
        },
        (error: unknown) => {
          this.residency.release(layer, expert);
          throw error;
        },
      )
      .finally(() => {
        forget();
        if (this.#loading.get(key)?.speculative && !this.#guessed[key]) this.governor.onLeave(key);
        this.#loading.delete(key);
        if (this.#loading.size === 0) this.#countBusy(performance.now());
      });
    const load: Loading = { done, controller, speculative };
    this.#loading.set(key, load);
    return load;
  }

  /** Lets `signal` abort `controller`, by one listener for all that follow it. @returns stops that */
  #follow(signal: AbortSignal | undefined, controller: AbortController): () => void {
    if (!signal) return () => undefined;
    let followers = this.#followers.get(signal);
    if (!followers) {
      this.#followers.set(signal, (followers = new Set()));
      const all = followers;
      signal.addEventListener('abort', () => all.forEach((c) => c.abort(signal.reason)), { once: true });
    }
    followers.add(controller);
    return () => void followers.delete(controller);
  }

  #onEvicted(layer: number, expert: number): void {
    const key = this.#keyOf(layer, expert);
    this.#homes.setSlot(layer, expert, MISSING_SLOT);
    if (this.#guessed[key]) this.governor.onLeave(key);
    this.#guessed[key] = 0;
    this.ghost.onLeave(key);
    this.evictions++;
  }

  #keyOf(layer: number, expert: number): number {
    return layer * this.#most + expert;
  }

  #countBusy(now: number): void {
    this.#busyMs += now - this.#busySince;
    this.#filledMs += now - this.#busySince;
    this.#busySince = now;
  }

  /** Experts that came into slots a second, in bytes, while any were coming; null before the first. */
  get fillBytesPerSecond(): number | null {
    return this.#filledMs > 0 ? (1000 * this.#filledBytes) / this.#filledMs : null;
  }

  /** A step ended: tells the governor how busy the link was. @param ms that the step took */
  endStep(ms: number): void {
    if (this.#loading.size > 0) this.#countBusy(performance.now());
    this.governor.endStep({ ms, busyMs: Math.min(ms, this.#busyMs) });
    this.#busyMs = 0;
  }

  /** Waits until a slot that is loading now is settled or free. */
  async #someSlot(): Promise<void> {
    invariant(this.#loading.size > 0, 'an arena has fewer slots than one layer needs at once');
    await Promise.race([...this.#loading.values()].map((l) => l.done.catch(() => undefined)));
  }

  /** Waits for whatever is on its way; guesses are given up. */
  async settle(): Promise<void> {
    for (const { speculative, controller } of this.#loading.values()) if (speculative) controller.abort();
    await Promise.allSettled([...this.#loading.values()].map((l) => l.done));
  }

  /** Takes an expert off the GPU: for tests, and to make room. */
  evict(layer: number, expert: number): void {
    if (!this.residency.has(layer, expert)) return;
    this.residency.release(layer, expert);
    this.#onEvicted(layer, expert);
  }

  /**
   * Arenas of other sizes, empty at first. Programs that read experts must be recorded again.
   * @throws OutOfBudget when the GPU has no room
   */
  async resize(arenas: readonly ArenaShape[]): Promise<void> {
    await this.settle();
    this.residency.reset(arenas);
    this.#guessed.fill(0);
    await this.#homes.replaceArenas(arenas);
  }
}
