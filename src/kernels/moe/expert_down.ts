import type { BufferView } from '../../gpu/buffer.ts';
import type { Recorder } from '../../gpu/recording.ts';
import { invariant } from '../../util/assert.ts';
import { alignUp, ceilDiv } from '../../util/math.ts';
import { CHUNK } from '../../weights/layout.ts';
import { actUnit, besideMatrix, type Beside } from './beside.ts';
import { matvecShape } from '../linear/matvec_shape.ts';
import { hasSubgroups, productsImport, tileConstants } from '../linear/products.ts';
import { outScale } from './combine.ts';
import { tileBound, type TileRows } from './group.ts';
import { besideTile, expertMatrix, partsOf, tileKernel, type ExpertHome, type SlotLayout } from './slot.ts';

export interface ExpertDownShape {
  readonly experts: number; // E
  readonly topK: number; // K
  readonly slot: SlotLayout;
  /** Not on a software adapter in prefill. */
  readonly beside?: Beside;
}

export interface ExpertDownIo extends ExpertHome {
  readonly act: BufferView; // [P, F], in row order; with `beside`, [T, Fs] from `actAt` on
  readonly tiles: BufferView; // [1 + bound, 4]
  readonly y: BufferView; // [P, D] out, in row order; with `beside`, [T, D] from `yAt` on
}

/** y = down act + bias of every row, tile by tile. Rows of experts without a slot keep what they hold: waves of experts fill them one after the other. */
export function expertDown(
  recorder: Recorder,
  label: string,
  io: ExpertDownIo,
  shape: ExpertDownShape & { readonly tileRows: TileRows },
): void {
  const { experts, topK, slot, tileRows, beside } = shape;
  const software = recorder.gpu.facts.kernels === 'software';
  const unit = actUnit(beside, slot.width);
  const { constants, imports, bindings } = expertMatrix('down', slot, io, { software, unit });
  const arithmetic = tileConstants(slot.down, beside?.down, recorder.gpu.facts);
  const kernel = tileKernel('moe/expert_down', slot.hidden, { tileRows, software, arithmetic });
  invariant(!beside || !software, `${label}: the expert beside has its own dispatches on a software adapter`);
  const more = software ? null : besideMatrix(beside, 'down', unit);
  recorder.dispatch({
    shader: kernel.shader,
    label,
    constants: {
      ...constants,
      ...kernel.constants,
      ...(software ? {} : { INTERLEAVED: false }),
      ...more?.constants,
      ...(beside && { ...besideTile(beside, 'down', tileRows, arithmetic), E: experts, BESIDE_AT: beside.yAt }),
    },
    imports: { ...imports, ...more?.imports },
    bindings: { ...bindings, ...more?.bindings, x: io.act, tiles: io.tiles, y: io.y },
    grid: ({ tokens }) =>
      kernel.grid(tileBound(tokens * topK, experts, tileRows) + (beside ? ceilDiv(tokens, tileRows) : 0)),
  });
}

export interface ExpertDownDecodeIo extends ExpertHome {
  readonly act: BufferView; // [T * K, F], in pair order; with `beside`, [T, Fs] from `actAt` on, times its weight
  readonly routed: BufferView; // [T, 2K]: ids, then weights
  /** Without it 0. */
  readonly residual?: BufferView | undefined; // [T, D]
  readonly out: BufferView; // [T, D] out, another buffer
}

interface DecodeShape {
  readonly scale?: number;
  /** Every weight counts as 1. Default false. */
  readonly unweighted?: boolean;
}

/** out = residual + scale * sum over k of weight * (down act + bias), without grouping: for a few tokens. */
export function expertDownDecode(
  recorder: Recorder,
  label: string,
  io: ExpertDownDecodeIo,
  { topK, slot, scale = 1, beside, unweighted = false }: ExpertDownShape & DecodeShape,
): void {
  const { hidden, width } = slot;
  const { residual } = io;
  const { facts } = recorder.gpu;
  const software = facts.kernels === 'software';
  const unit = actUnit(beside, width);
  const { constants, imports, bindings } = expertMatrix('down', slot, io, { software, unit });
  const values = topK * alignUp(width, CHUNK);
  const lanes = software ? 1 : matvecShape({ rows: hidden, cols: values }).lanes;
  const parts = partsOf(lanes, values);
  const more = besideMatrix(beside, 'down', unit, facts);
  recorder.dispatch({
    shader: 'moe/expert_down_decode',
    label,
    constants: {
      ...constants,
      ...more.constants,
      ...outScale(scale),
      RESIDUAL: residual !== undefined,
      UNWEIGHTED: unweighted,
      D: hidden,
      TOP_K: topK,
      PARTS: parts,
      SUBGROUPS: hasSubgroups(facts),
    },
    imports: { ...imports, ...more.imports, products: productsImport(slot.down, facts, 1) },
    bindings: {
      ...bindings,
      ...more.bindings,
      x: io.act,
      routed: io.routed,
      out: io.out,
      ...(residual && { residual }),
    },
    grid: ({ tokens }) => [ceilDiv(hidden, 64 / parts), tokens, 1],
  });
}
