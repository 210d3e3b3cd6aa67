/** Who is in which slot. Pure bookkeeping: the same decisions for the same calls, whatever the GPU and the disk do. */
import type { ResidencyPolicy } from '../policy/policy.ts';
import { invariant } from '../util/assert.ts';

export interface ResidencyShape {
  /** Experts of each MoE layer. */
  readonly experts: readonly number[];
  /** Slots that some layers share. */
  readonly arenas: readonly { readonly layers: readonly number[]; readonly slots: number }[];
}

export interface Claim {
  readonly slot: number;
  /** Whoever had the slot. */
  readonly evicted: { readonly layer: number; readonly expert: number } | null;
}

const NOWHERE = -1;

export class Residency {
  readonly #policy: ResidencyPolicy;
  readonly #most: number; // E, the most of any layer
  readonly #experts: readonly number[];
  /** By key = layer * most + expert. */
  readonly #slotOf: Int32Array;
  readonly #isReady: Uint8Array;
  readonly #arenaOf: Int32Array;
  /** By arena, then slot: the key in it. */
  #occupants: Int32Array[] = [];
  #ready = 0;

  constructor(shape: ResidencyShape, policy: ResidencyPolicy) {
    this.#policy = policy;
    this.#experts = shape.experts;
    this.#most = Math.max(0, ...shape.experts);
    const keys = shape.experts.length * this.#most;
    this.#slotOf = new Int32Array(keys);
    this.#isReady = new Uint8Array(keys);
    this.#arenaOf = new Int32Array(shape.experts.length);
    this.reset(shape.arenas);
  }

  /** Empty slots, in arenas of new sizes. */
  reset(arenas: ResidencyShape['arenas']): void {
    arenas.forEach(({ layers }, i) => layers.forEach((layer) => (this.#arenaOf[layer] = i)));
    this.#occupants = arenas.map(({ slots }) => new Int32Array(slots).fill(NOWHERE));
    this.#slotOf.fill(NOWHERE);
    this.#isReady.fill(0);
    this.#ready = 0;
  }

  #key(layer: number, expert: number): number {
    return layer * this.#most + expert;
  }

  /** The slot of an expert that is there, complete; else null. */
  slotOf(layer: number, expert: number): number | null {
    const key = this.#key(layer, expert);
    return this.#isReady[key] ? this.#slotOf[key]! : null;
  }

  has(layer: number, expert: number): boolean {
    return this.#isReady[this.#key(layer, expert)] === 1;
  }

  /** Claimed, and not ready yet. */
  isLoading(layer: number, expert: number): boolean {
    const key = this.#key(layer, expert);
    return this.#slotOf[key] !== NOWHERE && !this.#isReady[key];
  }

  /** Experts that are there. */
  get ready(): number {
    return this.#ready;
  }

  readyOf(layer: number): number {
    let count = 0;
    for (let e = 0; e < this.#experts[layer]!; e++) count += this.#isReady[this.#key(layer, e)]!;
    return count;
  }

  /** Who is there now, by `layer * E + expert`; not changed by what comes later. */
  snapshot(): Uint8Array {
    return this.#isReady.slice();
  }

  inSnapshot(snapshot: Uint8Array, layer: number, expert: number): boolean {
    return snapshot[this.#key(layer, expert)] === 1;
  }

  slotsOf(layer: number): number {
    return this.#occupants[this.#arenaOf[layer]!]!.length;
  }

  /**
   * A slot for an expert that has none: a free one, or that of the expert that the policy would miss least.
   * @param atLayer the layer that runs now
   * @param isKept experts that must stay
   * @returns null when every slot is kept or still loading
   */
  claim(
    layer: number,
    expert: number,
    atLayer: number,
    isKept: (layer: number, expert: number) => boolean,
  ): Claim | null {
    const key = this.#key(layer, expert);
    invariant(this.#slotOf[key] === NOWHERE, `expert ${expert} of layer ${layer} has a slot already`);
    const occupants = this.#occupants[this.#arenaOf[layer]!]!;
    let victim = NOWHERE;
    let stalest = -Infinity;
    let victimKey = NOWHERE;
    for (let slot = 0; slot < occupants.length; slot++) {
      const other = occupants[slot]!;
      if (other === NOWHERE) {
        this.#occupy(occupants, slot, key);
        return { slot, evicted: null };
      }
      if (!this.#isReady[other]) continue;
      const otherLayer = Math.floor(other / this.#most);
      const otherExpert = other % this.#most;
      const staleness = this.#policy.staleness(otherLayer, otherExpert, atLayer);
      const isStaler = staleness > stalest || (staleness === stalest && other < victimKey);
      if (!isStaler || isKept(otherLayer, otherExpert)) continue;
      [victim, stalest, victimKey] = [slot, staleness, other];
    }
    if (victim === NOWHERE) return null;
    this.#isReady[victimKey] = 0;
    this.#slotOf[victimKey] = NOWHERE;
    this.#ready--;
    this.#occupy(occupants, victim, key);
    return {
      slot: victim,
      evicted: { layer: Math.floor(victimKey / this.#most), expert: victimKey % this.#most },
    };
  }

  #occupy(occupants: Int32Array, slot: number, key: number): void {
    occupants[slot] = key;
    this.#slotOf[key] = slot;
  }

  /** The claimed slot holds the expert now. */
  settle(layer: number, expert: number): number {
    const key = this.#key(layer, expert);
    invariant(this.isLoading(layer, expert), `expert ${expert} of layer ${layer} was not loading`);
    this.#isReady[key] = 1;
    this.#ready++;
    return this.#slotOf[key]!;
  }

  /** The claimed slot could not be filled, or its expert is to leave: it is free. */
  release(layer: number, expert: number): void {
    const key = this.#key(layer, expert);
    const slot = this.#slotOf[key]!;
    if (slot === NOWHERE) return;
    this.#occupants[this.#arenaOf[layer]!]![slot] = NOWHERE;
    this.#slotOf[key] = NOWHERE;
    this.#ready -= this.#isReady[key]!;
    this.#isReady[key] = 0;
  }
}
