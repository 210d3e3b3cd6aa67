import type { BufferView } from '../../gpu/buffer.ts';
import type { Recorder } from '../../gpu/recording.ts';
import { alignUp, ceilDiv } from '../../util/math.ts';
import { CHUNK } from '../../weights/layout.ts';
import { matvecShape } from '../linear/matvec_shape.ts';
import { outScale } from './combine.ts';
import { tileBound, type TileRows } from './group.ts';
import { expertMatrix, partsOf, tileKernel, type ExpertHome, type SlotLayout } from './slot.ts';

export interface ExpertDownShape {
  readonly experts: number; // E
  readonly topK: number; // K
  readonly slot: SlotLayout;
}

export interface ExpertDownIo extends ExpertHome {
  readonly act: BufferView; // [P, F], in row order
  readonly tiles: BufferView; // [1 + bound, 4]
  readonly y: BufferView; // [P, D] out, in row order
}

/** y = down act + bias of every row, tile by tile. Rows of experts without a slot keep what they hold: waves of experts fill them one after the other. */
export function expertDown(
  recorder: Recorder,
  label: string,
  io: ExpertDownIo,
  shape: ExpertDownShape & { readonly tileRows: TileRows },
): void {
  const { experts, topK, slot, tileRows } = shape;
  const { constants, imports, bindings } = expertMatrix('down', slot, io);
  const software = recorder.gpu.facts.kernels === 'software';
  const kernel = tileKernel('moe/expert_down', slot.hidden, { tileRows, software });
  recorder.dispatch({
    shader: kernel.shader,
    label,
    constants: { ...constants, ...kernel.constants, ...(software ? {} : { INTERLEAVED: false }) },
    imports,
    bindings: { ...bindings, x: io.act, tiles: io.tiles, y: io.y },
    grid: ({ tokens }) => kernel.grid(tileBound(tokens * topK, experts, tileRows)),
  });
}

export interface ExpertDownDecodeIo extends ExpertHome {
  readonly act: BufferView; // [T * K, F], in pair order
  readonly routed: BufferView; // [T, 2K]: ids, then weights
  readonly residual: BufferView; // [T, D]
  readonly out: BufferView; // [T, D] out, another buffer
}

/** out = residual + scale * sum over k of weight * (down act + bias), without grouping: for a few tokens. */
export function expertDownDecode(
  recorder: Recorder,
  label: string,
  io: ExpertDownDecodeIo,
  { topK, slot, scale = 1 }: ExpertDownShape & { readonly scale?: number },
): void {
  const { hidden, width } = slot;
  const { constants, imports, bindings } = expertMatrix('down', slot, io);
  const values = topK * alignUp(width, CHUNK);
  const lanes = recorder.gpu.facts.kernels === 'software' ? 1 : matvecShape({ rows: hidden, cols: values }).lanes;
  const parts = partsOf(lanes, values);
  recorder.dispatch({
    shader: 'moe/expert_down_decode',
    label,
    constants: { ...constants, ...outScale(scale), D: hidden, TOP_K: topK, PARTS: parts },
    imports,
    bindings: { ...bindings, x: io.act, routed: io.routed, residual: io.residual, out: io.out },
    grid: ({ tokens }) => [ceilDiv(hidden, 64 / parts), tokens, 1],
  });
}
