import type { BufferView } from '../gpu/buffer.ts';
import type { SlotLayout } from './slots.ts';

/** One layer's experts as the kernels see them: an arena of slots, and which slot each expert is in. */
export interface DeviceExperts {
  readonly arena: BufferView;
  readonly slot: SlotLayout;
  /** [E] u32: slot in `arena`, or 0xFFFFFFFF when the expert is not on the GPU. */
  readonly slotTable: BufferView;
}
