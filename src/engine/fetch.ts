/** Fills slots: from the records that an earlier session left, or from the checkpoint. */
import type { BufferView } from '../gpu/buffer.ts';
import type { Filled, Tier } from '../moe/store.ts';
import type { ExpertsSpec } from './describe.ts';
import { Lane } from './lane.ts';
import type { Uploader } from './upload.ts';

/** Experts that are read from a checkpoint at a time: each holds a few blocks of rows. */
const AT_ONCE = 2;

export interface FetcherParts {
  readonly uploader: Uploader;
  /** Of each MoE layer. */
  readonly experts: readonly ExpertsSpec[];
  /** Where the checkpoint is. */
  readonly origin: Tier;
}

export class ExpertFetcher {
  readonly #parts: FetcherParts;
  readonly #lane = new Lane(AT_ONCE);

  constructor(parts: FetcherParts) {
    this.#parts = parts;
  }

  /** @throws what reading threw; the slot's contents are junk then */
  readonly fill = async (layer: number, expert: number, slot: BufferView, signal?: AbortSignal): Promise<Filled> => {
    const { uploader, experts, origin } = this.#parts;
    const spec = experts[layer]!;
    await this.#lane.run(() => uploader.expert(spec, expert, slot, signal), signal);
    return { tier: origin, bytes: spec.storedBytes / spec.count };
  };
}
