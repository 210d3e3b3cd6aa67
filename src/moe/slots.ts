/**
 * How one expert lies in its slot: gate_up [2F, D] with interleaved rows (row 2j is gate_j, 2j + 1 is up_j), then down [D, F], each in its native
 * layout, then the f32 biases [2F] (interleaved alike) and [D]. Where a value takes one or three rows, [F, D] or [3F, D] in place of the first, with its
 * two halves interleaved.
 * A record on disk has the same bytes.
 */
import { BINDING_ALIGNMENT } from '../gpu/buffer.ts';
import { downShape, gateUpShape, type SlotLayout, type SlotShape } from '../kernels/moe/slot.ts';
import { alignUp } from '../util/math.ts';
import { planes } from '../weights/layout.ts';

export {
  downShape,
  gateUpShape,
  BESIDE_RUNS,
  BESIDE_WAITS,
  MISSING_SLOT,
  type SlotLayout,
  type SlotShape,
} from '../kernels/moe/slot.ts';

/** Slots and matrices start on multiples of 256 bytes, so that each can be bound by itself; biases on multiples of 16. */
export function slotLayout(shape: SlotShape): SlotLayout {
  const { hidden, width, valueRows = 2, gateUp, down, bias } = shape;
  const downAt = alignUp(planes(gateUp, gateUpShape(shape)).bytes, BINDING_ALIGNMENT);
  const weightsEnd = downAt + planes(down, downShape(shape)).bytes;
  const downBiasAt = weightsEnd + alignUp(gateUpShape(shape).rows * 4, 16);
  const end = bias ? downBiasAt + alignUp(hidden * 4, 16) : weightsEnd;
  return {
    hidden,
    width,
    valueRows,
    gateUp,
    down,
    bias,
    gateUpAt: 0,
    downAt,
    gateUpBiasAt: bias ? weightsEnd : -1,
    downBiasAt: bias ? downBiasAt : -1,
    bytes: alignUp(end, BINDING_ALIGNMENT),
  };
}
