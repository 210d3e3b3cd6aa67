/** An expert store without a GPU: slots hold the names of experts, and the test says when a fetch ends and how. */
import type { BufferView } from '../../src/gpu/buffer.ts';
import type { ArenaShape, ExpertHomes } from '../../src/moe/homes.ts';
import { MISSING_SLOT } from '../../src/moe/slots.ts';
import { ExpertStore, type Filled, type FillSlot } from '../../src/moe/store.ts';
import type { ResidencyPolicy } from '../../src/policy/policy.ts';
import { lru } from '../../src/policy/lru.ts';

const SLOT_BYTES = 256;

export const arenaShape = (layers: readonly number[], slots: number): ArenaShape => ({
  layers,
  slotBytes: SLOT_BYTES,
  slots,
  bytes: slots * SLOT_BYTES,
});

/** What the GPU's queue would see, in order. */
export type HomeEvent =
  | { readonly kind: 'table'; readonly layer: number; readonly expert: number; readonly slot: number }
  | { readonly kind: 'bytes'; readonly layer: number; readonly expert: number; readonly slot: number };

export class FakeHomes {
  readonly events: HomeEvent[] = [];
  /** By `layer expert`: the table on the GPU. */
  readonly table = new Map<string, number>();
  /** By `arena slot`: whose bytes are in it. */
  readonly contents = new Map<string, string>();
  arenas: readonly ArenaShape[];
  /** Thrown by the next calls of `replaceArenas`, one each. */
  readonly refusals: Error[] = [];
  replaced = 0;

  constructor(arenas: readonly ArenaShape[]) {
    this.arenas = arenas;
  }

  get asHomes(): ExpertHomes {
    return this as unknown as ExpertHomes;
  }

  arenaOf(layer: number): number {
    return this.arenas.findIndex((a) => a.layers.includes(layer));
  }

  slotView(layer: number, slot: number): BufferView {
    return { buffer: {} as GPUBuffer, offset: slot * SLOT_BYTES, size: SLOT_BYTES };
  }

  setSlot(layer: number, expert: number, slot: number): void {
    this.events.push({ kind: 'table', layer, expert, slot });
    if (slot === MISSING_SLOT) this.table.delete(`${layer} ${expert}`);
    else this.table.set(`${layer} ${expert}`, slot);
  }

  /** An expert's bytes arrive in a slot. */
  put(layer: number, expert: number, { offset }: BufferView): void {
    const slot = offset / SLOT_BYTES;
    this.events.push({ kind: 'bytes', layer, expert, slot });
    this.contents.set(`${this.arenaOf(layer)} ${slot}`, `${layer} ${expert}`);
  }

  async replaceArenas(arenas: readonly ArenaShape[]): Promise<void> {
    this.replaced++;
    this.arenas = [];
    const refusal = this.refusals.shift();
    if (refusal) throw refusal;
    this.arenas = arenas;
    this.table.clear();
    this.contents.clear();
  }

  /** Every table entry must name a slot that holds that very expert. @returns what is wrong */
  wrong(): string[] {
    return [...this.table]
      .filter(([name, slot]) => {
        const layer = Number(name.split(' ')[0]);
        return this.contents.get(`${this.arenaOf(layer)} ${slot}`) !== name;
      })
      .map(([name]) => name);
  }
}

export interface Fetch {
  readonly layer: number;
  readonly expert: number;
  readonly signal: AbortSignal | undefined;
  readonly isOver: boolean;
  /** Writes the bytes, and is done. */
  arrive(): Promise<void>;
  fail(error: Error): Promise<void>;
}

/** Lets everything that can run now run. */
export const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

export class FakeFetches {
  readonly all: Fetch[] = [];
  /** Fetches end by themselves after so many turns of the event loop; null: when the test says so. */
  turns: (() => number) | null;
  readonly #homes: FakeHomes;

  constructor(homes: FakeHomes, turns: (() => number) | null) {
    this.#homes = homes;
    this.turns = turns;
  }

  get open(): Fetch[] {
    return this.all.filter((f) => !f.isOver);
  }

  readonly fill: FillSlot = (layer, expert, slot, signal) =>
    new Promise<Filled>((resolve, reject) => {
      let isOver = false;
      const end = (how: () => void): Promise<void> => {
        if (!isOver) {
          isOver = true;
          how();
        }
        return settled();
      };
      const fetch: Fetch = {
        layer,
        expert,
        signal,
        get isOver() {
          return isOver;
        },
        arrive: () =>
          end(() => {
            this.#homes.put(layer, expert, slot);
            resolve({ tier: 'disk', bytes: 100 });
          }),
        fail: (error) => end(() => reject(error)),
      };
      this.all.push(fetch);
      signal?.addEventListener('abort', () => void fetch.fail(signal.reason as Error));
      if (signal?.aborted) void fetch.fail(signal.reason as Error);
      if (this.turns) {
        const wait = async (turns: number): Promise<void> => {
          for (let i = 0; i < turns; i++) await settled();
          await fetch.arrive();
        };
        void wait(this.turns());
      }
    });

  /** The one fetch of an expert that is still open. */
  of(layer: number, expert: number): Fetch {
    const found = this.open.filter((f) => f.layer === layer && f.expert === expert);
    if (found.length !== 1) throw new Error(`${found.length} open fetches of expert ${expert} of layer ${layer}`);
    return found[0]!;
  }
}

export interface FakeStore {
  readonly store: ExpertStore;
  readonly homes: FakeHomes;
  readonly fetches: FakeFetches;
}

/** @param turns see FakeFetches */
export function fakeStore(
  experts: readonly number[],
  arenas: readonly ArenaShape[],
  { turns = null, policy }: { readonly turns?: (() => number) | null; readonly policy?: ResidencyPolicy } = {},
): FakeStore {
  const homes = new FakeHomes(arenas);
  const fetches = new FakeFetches(homes, turns);
  const store = new ExpertStore({
    homes: homes.asHomes,
    experts,
    arenas,
    policy: policy ?? lru({ layers: experts.length, experts: Math.max(...experts) }),
    fill: fetches.fill,
  });
  return { store, homes, fetches };
}
