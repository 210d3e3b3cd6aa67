/** The GPU side of slots: arenas, a table of slots for each layer, and one more table for a wave of a prompt's experts. */
import { subview, wholeBuffer, type BufferView } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { invariant } from '../util/assert.ts';
import type { DeviceExperts } from './experts.ts';
import { MISSING_SLOT, type SlotLayout } from './slots.ts';

/** A buffer of slots for the experts of some layers. */
export interface ArenaShape {
  /** MoE layers (counted among MoE layers) whose experts live here. */
  readonly layers: readonly number[];
  readonly slotBytes: number;
  /** As many as these layers have experts, or fewer. */
  readonly slots: number;
  readonly bytes: number;
}

interface LayerHome extends DeviceExperts {
  arena: BufferView;
}

export class ExpertHomes {
  readonly #gpu: Gpu;
  readonly #tables: BufferView;
  /** Entries from one table to the next. */
  readonly #stride: number;
  readonly #layers: readonly LayerHome[];
  #arenas: readonly BufferView[];
  readonly #arenaOf: Uint32Array;
  readonly waveTable: BufferView;

  private constructor(
    gpu: Gpu,
    shapes: readonly ArenaShape[],
    slots: readonly SlotLayout[],
    stride: number,
    arenas: readonly BufferView[],
  ) {
    this.#gpu = gpu;
    this.#stride = stride;
    this.#tables = wholeBuffer(gpu.createBuffer('slot tables', 'tables', (slots.length + 1) * stride * 4));
    this.#arenas = arenas;
    this.#arenaOf = arenaOfLayer(shapes, slots.length);
    const table = (layer: number): BufferView => subview(this.#tables, layer * stride * 4, stride * 4);
    this.#layers = slots.map((slot, layer) => ({
      arena: arenas[this.#arenaOf[layer]!]!,
      slot,
      slotTable: table(layer),
    }));
    this.waveTable = table(slots.length);
    gpu.write(this.#tables, new Uint32Array((slots.length + 1) * stride).fill(MISSING_SLOT));
  }

  /**
   * @param slots of each MoE layer
   * @param stride entries of a table, a multiple of 64
   * @throws OutOfBudget when the GPU has no room for an arena
   */
  static async create(
    gpu: Gpu,
    shapes: readonly ArenaShape[],
    slots: readonly SlotLayout[],
    stride: number,
  ): Promise<ExpertHomes> {
    const arenas = await createArenas(gpu, shapes);
    try {
      return await gpu.allocating('slot tables', () => new ExpertHomes(gpu, shapes, slots, stride, arenas));
    } catch (error) {
      for (const { buffer } of arenas) gpu.destroyBuffer(buffer);
      throw error;
    }
  }

  /** As the kernels of a layer see it. Changes with `replaceArenas`. */
  layer(layer: number): DeviceExperts {
    return this.#layers[layer]!;
  }

  slotView(layer: number, slot: number): BufferView {
    const home = this.#layers[layer]!;
    return subview(home.arena, slot * home.slot.bytes, home.slot.bytes);
  }

  /** Ordered with submits by the queue: work submitted before sees the table as it was. */
  setSlot(layer: number, expert: number, slot: number): void {
    this.#gpu.write(this.#layers[layer]!.slotTable, Uint32Array.of(slot), expert * 4);
  }

  /** @param table [E + 1] slots of this wave's experts, MISSING_SLOT for all others, then BESIDE_RUNS or BESIDE_WAITS */
  setWave(table: Uint32Array): void {
    invariant(table.length <= this.#stride, `a wave table of ${table.length} entries`);
    this.#gpu.write(this.waveTable, table);
  }

  /**
   * Arenas of other sizes, empty; every expert is gone. Programs recorded before must be recorded again.
   * @throws OutOfBudget when the GPU has no room; then there are no arenas at all until a call succeeds
   */
  async replaceArenas(shapes: readonly ArenaShape[]): Promise<void> {
    for (const { buffer } of this.#arenas) this.#gpu.destroyBuffer(buffer);
    this.#arenas = [];
    this.#arenas = await createArenas(this.#gpu, shapes);
    this.#arenaOf.set(arenaOfLayer(shapes, this.#layers.length));
    this.#layers.forEach((home, layer) => (home.arena = this.#arenas[this.#arenaOf[layer]!]!));
    this.#gpu.write(this.#tables, new Uint32Array(this.#tables.size / 4).fill(MISSING_SLOT));
  }
}

function arenaOfLayer(shapes: readonly ArenaShape[], layers: number): Uint32Array {
  const of = new Uint32Array(layers);
  shapes.forEach(({ layers: own }, i) => own.forEach((layer) => (of[layer] = i)));
  return of;
}

/** All, or none. */
async function createArenas(gpu: Gpu, shapes: readonly ArenaShape[]): Promise<BufferView[]> {
  const made: BufferView[] = [];
  try {
    for (const [i, { bytes }] of shapes.entries()) {
      await gpu.allocating(`expert arena ${i} (${bytes} bytes)`, () =>
        made.push(wholeBuffer(gpu.createBuffer(`experts ${i}`, 'experts', bytes))),
      );
    }
    return made;
  } catch (error) {
    for (const { buffer } of made) gpu.destroyBuffer(buffer);
    throw error;
  }
}
