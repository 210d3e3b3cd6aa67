import type { BufferView } from '../gpu/buffer.ts';
import type { LowRankParts } from '../layers/parts.ts';
import type { SlotLayout } from './slots.ts';

/** One layer's experts as the kernels see them: an arena of slots, and which slot each expert is in. */
export interface DeviceExperts {
  readonly arena: BufferView;
  readonly slot: SlotLayout;
  /** [E] u32: slot in `arena`, or 0xFFFFFFFF when the expert is not on the GPU. */
  readonly slotTable: BufferView;
  /** What an adapter adds. */
  readonly lowRank?: LowRankExperts;
}

/** A and B of S experts, one after the other, all of the same rank R. */
export interface ExpertMapsOnDevice {
  readonly rank: number; // R
  readonly a: BufferView; // [S, 2R, D]: of gate, then of up; of down [S, R, F]
  readonly b: BufferView; // columns first: [S, R, 2F], gates, then ups; of down [S, R, D]
}

/** What an adapter adds to a layer's experts; it stays on the GPU, whether they do or not. */
export interface LowRankExperts {
  readonly places: BufferView; // [E] u32: place among the S, or UNCHANGED
  readonly gateUp: ExpertMapsOnDevice | null;
  readonly down: ExpertMapsOnDevice | null;
  readonly scratch: LowRankParts['scratch'];
}
