/** What the expert kernels know of an expert's home: src/moe/slots.ts computes it. */
import type { ValueRows } from '../../config/activation.ts';
import type { BufferView } from '../../gpu/buffer.ts';
import type { Grid } from '../../gpu/recording.ts';
import type { Constants } from '../../gpu/shader.ts';
import { ceilDiv } from '../../util/math.ts';
import { CHUNK, weightFormat, type Layout, type MatrixShape } from '../../weights/layout.ts';
import { inputConstants, type InputUnit } from '../linear/x_rows.ts';
import type { Beside } from './beside.ts';
import type { TileRows } from './group.ts';

export interface SlotShape {
  readonly hidden: number; // D
  readonly width: number; // F
  /** Rows of `gateUp` that give a value. Where it is not two, gate and up, the two halves of all R rows alternate: row f, then row f + R / 2. Default 2. */
  readonly valueRows?: ValueRows;
  readonly gateUp: Layout;
  readonly down: Layout;
  /** Biases on gate, up and down. */
  readonly bias: boolean;
}

/** Byte offsets from the slot's start, each a multiple of 16; -1 where there is no bias. */
export interface SlotLayout extends SlotShape {
  readonly gateUpAt: number;
  readonly downAt: number;
  readonly gateUpBiasAt: number;
  readonly downBiasAt: number;
  /** From one slot to the next: a multiple of 256. */
  readonly bytes: number;
}

/** What a slot table holds for an expert that is not on the GPU. */
export const MISSING_SLOT = 0xffffffff;

/** What a slot table holds behind its experts: whether the tile kernels run the expert beside them. */
export const BESIDE_RUNS = MISSING_SLOT;
export const BESIDE_WAITS = 0;

/** Experts of one layer on the GPU. */
export interface ExpertHome {
  /** Slots one after the other, each `slot.bytes` long. */
  readonly arena: BufferView;
  readonly slotTable: BufferView; // [E] u32: slot in the arena, or MISSING_SLOT; with an expert beside, BESIDE_RUNS or BESIDE_WAITS follows
}

export const gateUpShape = ({ hidden, width, valueRows = 2 }: SlotShape): MatrixShape => ({
  rows: valueRows * width,
  cols: hidden,
});
export const downShape = ({ hidden, width }: SlotShape): MatrixShape => ({ rows: hidden, cols: width });

/** Constants, imports and bindings of a shader that imports `moe/expert`. */
export function expertMatrix(
  part: 'gateUp' | 'down',
  slot: SlotLayout,
  home: ExpertHome,
  { software, unit }: { readonly software: boolean; readonly unit?: InputUnit },
): {
  readonly constants: Record<string, number | boolean>;
  readonly imports: Record<string, string>;
  readonly bindings: Record<string, BufferView>;
} {
  const up = part === 'gateUp';
  const shape = up ? gateUpShape(slot) : downShape(slot);
  const { constants, imports } = weightFormat(slot[part], shape, software);
  return {
    constants: {
      ...constants,
      SLOT_VEC4: slot.bytes / 16,
      MATRIX_AT: (up ? slot.gateUpAt : slot.downAt) / 16,
      ...inputConstants(shape.cols, { xRow: shape.cols, xAt: 0 }, unit),
      BIAS: slot.bias,
      ...(slot.bias ? { BIAS_AT: (up ? slot.gateUpBiasAt : slot.downBiasAt) / 4 } : {}),
    },
    imports,
    bindings: { values: home.arena, scales: home.arena, slot_table: home.slotTable },
  };
}

/** Rows of the matrix that one workgroup of the tile kernels takes. */
export const TILE_COLUMNS = 64;
/** The same on a software adapter: 16 lanes with 8 each. */
const LANE_COLUMNS = 128;

/** A tile kernel and its grid over `columns` rows of the matrix. On a software adapter lanes take four rows of a tile: see shaders/moe/expert_lane. */
export function tileKernel(
  name: string,
  columns: number,
  {
    tileRows,
    software,
    arithmetic,
  }: { readonly tileRows: TileRows; readonly software: boolean; readonly arithmetic: Constants },
): {
  readonly shader: string;
  readonly constants: Record<string, number | boolean>;
  readonly grid: (tiles: number) => Grid;
} {
  if (!software) {
    const workgroups = ceilDiv(columns, TILE_COLUMNS);
    const constants = { BM: tileRows, TALL: tileRows >= 32, TALLEST: tileRows === 64, ...arithmetic, N: columns };
    return { shader: name, constants, grid: (tiles) => [workgroups, tiles, 1] };
  }
  const workgroups = ceilDiv(columns, LANE_COLUMNS);
  const constants = { N: columns, BLOCK: true, GAMMA: false };
  return { shader: `${name}_lane`, constants, grid: (tiles) => [workgroups, tiles, tileRows / 4] };
}

/** What a tile kernel also needs for the expert beside. */
export const besideTile = (
  beside: Beside,
  part: 'gateUp' | 'down',
  tileRows: TileRows,
  { F16 = false }: Constants,
): Record<string, number | boolean> => ({
  beside_N: beside[part].rows,
  beside_INTERLEAVED: part === 'gateUp',
  beside_TALL: tileRows >= 32,
  beside_TALLEST: tileRows === 64,
  beside_F16: F16,
});

/** Lanes of a decode kernel that share one output: no more than its dot products have chunks. */
export function partsOf(lanes: number, values: number): number {
  let parts = 1;
  while (parts < lanes && parts < ceilDiv(values, CHUNK)) parts *= 2;
  return parts;
}
