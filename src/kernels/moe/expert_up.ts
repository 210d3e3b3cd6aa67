import type { Activation } from '../../config/model-config.ts';
import type { BufferView } from '../../gpu/buffer.ts';
import type { Recorder } from '../../gpu/recording.ts';
import { ceilDiv } from '../../util/math.ts';
import { activationConstants } from '../activation.ts';
import { matvecShape } from '../linear/matvec_shape.ts';
import { tileBound, type TileRows } from './group.ts';
import { expertMatrix, partsOf, tileKernel, type ExpertHome, type SlotLayout } from './slot.ts';

export interface ExpertUpShape {
  readonly experts: number; // E
  readonly topK: number; // K
  readonly slot: SlotLayout;
  readonly activation: Activation;
}

export interface ExpertUpIo extends ExpertHome {
  readonly x: BufferView; // [T, D]
  readonly pairOfRow: BufferView; // [P]
  readonly tiles: BufferView; // [1 + bound, 4]
  readonly act: BufferView; // [P, F] out, in row order
}

/** act = activate(gate x + bias, up x + bias) of every row, tile by tile. Rows of experts without a slot keep what they hold: waves of experts fill them one after the other. */
export function expertUp(
  recorder: Recorder,
  label: string,
  io: ExpertUpIo,
  shape: ExpertUpShape & { readonly tileRows: TileRows },
): void {
  const { experts, topK, slot, activation, tileRows } = shape;
  const software = recorder.gpu.facts.kernels === 'software';
  const { constants, imports, bindings } = expertMatrix('gateUp', slot, io, software);
  const kernel = tileKernel('moe/expert_up', 2 * slot.width, { tileRows, software });
  recorder.dispatch({
    shader: kernel.shader,
    label,
    constants: {
      ...constants,
      ...kernel.constants,
      ...activationConstants(activation),
      ...(software ? {} : { INTERLEAVED: true }),
      TOP_K: topK,
    },
    imports,
    bindings: { ...bindings, x: io.x, pair_of_row: io.pairOfRow, tiles: io.tiles, act: io.act },
    grid: ({ tokens }) => kernel.grid(tileBound(tokens * topK, experts, tileRows)),
  });
}

export interface ExpertUpDecodeIo extends ExpertHome {
  readonly x: BufferView; // [T, D]
  readonly routed: BufferView; // [T, 2K]: ids, then weights
  readonly act: BufferView; // [T * K, F] out, in pair order
}

/** The same without grouping, every pair by itself: for a few tokens. */
export function expertUpDecode(recorder: Recorder, label: string, io: ExpertUpDecodeIo, shape: ExpertUpShape): void {
  const { topK, slot, activation } = shape;
  const { hidden, width } = slot;
  const software = recorder.gpu.facts.kernels === 'software';
  const { constants, imports, bindings } = expertMatrix('gateUp', slot, io, software);
  const lanes = software ? 1 : matvecShape({ rows: 2 * width * topK, cols: hidden }).lanes;
  const parts = partsOf(lanes, hidden);
  recorder.dispatch({
    shader: 'moe/expert_up_decode',
    label,
    constants: { ...constants, ...activationConstants(activation), F: width, TOP_K: topK, PARTS: parts },
    imports,
    bindings: { ...bindings, x: io.x, routed: io.routed, act: io.act },
    grid: ({ tokens }) => [ceilDiv(width, 64 / parts), tokens * topK, 1],
  });
}
