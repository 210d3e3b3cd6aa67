/** Fills slots: from the records that an earlier session left, or else from the checkpoint; and keeps what came from there. */
import { subview, wholeBuffer, type BufferView } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { Readback } from '../gpu/readback.ts';
import { UploadRing } from '../gpu/upload-ring.ts';
import type { Filled, Tier } from '../moe/store.ts';
import type { Records } from '../weights/records/records.ts';
import type { RecordFileSpec } from '../weights/records/record-table.ts';
import type { ExpertsSpec } from './describe/specs.ts';
import { Lane } from './lane.ts';
import { RING_SLOTS } from './plan/home.ts';
import type { Uploader } from './upload.ts';

/** Experts that are read from a checkpoint at a time: each holds a few blocks of rows. */
const AT_ONCE = 2;

export const expertFile = (layer: number): string => `experts-${String(layer).padStart(3, '0')}`;

export const expertFiles = (experts: readonly ExpertsSpec[]): RecordFileSpec[] =>
  experts.map(({ slot, count }, layer) => ({ name: expertFile(layer), recordBytes: slot.bytes, count }));

export interface FetcherParts {
  readonly gpu: Gpu;
  readonly uploader: Uploader;
  /** Of each MoE layer. */
  readonly experts: readonly ExpertsSpec[];
  /** Where the checkpoint is. */
  readonly origin: Tier;
  /** Where records are kept, if anywhere. */
  readonly cache: { readonly records: Records; readonly tier: Tier } | null;
  /** An expert came from its record. */
  readonly onRestored?: (layer: number, expert: number) => void;
}

export class ExpertFetcher {
  readonly #parts: FetcherParts;
  readonly #checkpoint = new Lane(AT_ONCE);
  readonly #ring: UploadRing | null;
  readonly #kept: Readback | null;
  /** One expert at a time goes from the GPU to the disk. */
  #keepingNow: Promise<void> | null = null;
  #scratch: BufferView | null = null;

  constructor(parts: FetcherParts) {
    this.#parts = parts;
    const bytes = Math.max(4, ...parts.experts.map((x) => x.slot.bytes));
    this.#ring = parts.cache && new UploadRing(parts.gpu, 'expert on its way', bytes, RING_SLOTS);
    this.#kept = parts.cache && new Readback(parts.gpu, 'expert to keep', bytes);
  }

  /** @throws what reading threw; the slot's contents are junk then */
  readonly fill = async (layer: number, expert: number, slot: BufferView, signal?: AbortSignal): Promise<Filled> => {
    const record = await this.#fromRecord(layer, expert, slot, signal);
    if (record) return record;
    await this.#fromCheckpoint(layer, expert, slot, signal, false);
    void this.keep(layer, expert, slot).catch(() => undefined); // it can be fetched again
    const { storedBytes, count } = this.#parts.experts[layer]!;
    return { tier: this.#parts.origin, bytes: storedBytes / count };
  };

  async #fromRecord(
    layer: number,
    expert: number,
    slot: BufferView,
    signal: AbortSignal | undefined,
  ): Promise<Filled | null> {
    const { cache } = this.#parts;
    if (!cache?.records.has(expertFile(layer), expert)) return null;
    signal?.throwIfAborted();
    const entry = await this.#ring!.acquire();
    let isSent = false;
    try {
      const isThere = await cache.records.read(expertFile(layer), expert, entry.bytes.subarray(0, slot.size));
      signal?.throwIfAborted();
      if (!isThere) return null; // damaged: it was dropped, and comes from the checkpoint
      isSent = true;
      entry.send(slot);
      this.#parts.onRestored?.(layer, expert);
      return { tier: cache.tier, bytes: slot.size };
    } finally {
      if (!isSent) entry.giveBack();
    }
  }

  #fromCheckpoint(
    layer: number,
    expert: number,
    slot: BufferView,
    signal: AbortSignal | undefined,
    isAhead: boolean,
  ): Promise<void> {
    const { uploader, experts } = this.#parts;
    return this.#checkpoint.run(() => uploader.expert(experts[layer]!, expert, slot, signal), { signal, isAhead });
  }

  /** Where an expert that is not on the GPU would come from. */
  tierOf(layer: number, expert: number): Tier {
    const { cache, origin } = this.#parts;
    return cache?.records.has(expertFile(layer), expert) ? cache.tier : origin;
  }

  isKept(layer: number, expert: number): boolean {
    return this.#parts.cache?.records.has(expertFile(layer), expert) ?? true;
  }

  /** Whether an expert of this layer that is not kept yet would be. */
  mayKeep(layer: number): boolean {
    return this.#parts.cache?.records.hasRoom(expertFile(layer)) ?? false;
  }

  /** Keeps what a slot holds now, whatever it holds later. Does nothing while another one is being kept: it can be fetched again. */
  async keep(layer: number, expert: number, slot: BufferView): Promise<void> {
    if (this.#keepingNow || this.isKept(layer, expert) || !this.mayKeep(layer)) return;
    this.#keepingNow = this.#keep(layer, expert, slot).finally(() => (this.#keepingNow = null));
    await this.#keepingNow;
  }

  async #keep(layer: number, expert: number, slot: BufferView): Promise<void> {
    const { cache, gpu } = this.#parts;
    // Encoded at once: the queue puts it before whatever comes into the slot next.
    const encoder = gpu.device.createCommandEncoder();
    this.#kept!.encode(encoder, slot);
    gpu.submit(encoder.finish());
    const bytes = new Uint8Array(await this.#kept!.read(slot.size));
    await cache!.records.write(expertFile(layer), expert, bytes);
  }

  /**
   * Keeps an expert, in its turn: from its slot or, when it has none, fetched for that alone.
   * @param slotNow where it is by now
   * @returns false when there is no room for it
   */
  async collect(
    layer: number,
    expert: number,
    slotNow: () => BufferView | null,
    signal?: AbortSignal,
  ): Promise<boolean> {
    let fetched: BufferView | null = null;
    for (;;) {
      while (this.#keepingNow) await this.#keepingNow.catch(() => undefined);
      if (this.isKept(layer, expert)) return true;
      // Nothing comes between this look and the copy: a moment later another expert may be in the slot.
      const slot = fetched ?? slotNow();
      if (slot) {
        await this.keep(layer, expert, slot);
        return this.isKept(layer, expert);
      }
      fetched = await this.#toScratch(layer, expert, signal);
    }
  }

  async #toScratch(layer: number, expert: number, signal: AbortSignal | undefined): Promise<BufferView> {
    const { gpu, experts } = this.#parts;
    const bytes = Math.max(...experts.map((x) => x.slot.bytes));
    this.#scratch ??= await gpu.allocating('an expert for the disk', () =>
      wholeBuffer(gpu.createBuffer('expert for the disk', 'staging', bytes)),
    );
    const slot = subview(this.#scratch, 0, experts[layer]!.slot.bytes);
    await this.#fromCheckpoint(layer, expert, slot, signal, true);
    return slot;
  }

  dispose(): void {
    this.#ring?.dispose();
    this.#kept?.dispose();
  }
}
