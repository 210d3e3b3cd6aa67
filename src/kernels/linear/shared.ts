/** Constants and grids that linear.ts and glu.ts have in common. */
import type { Constants } from '../../gpu/shader.ts';
import { foldGrid, type Grid } from '../../gpu/recording.ts';
import { ceilDiv } from '../../util/math.ts';
import { CHUNK, weightFormat } from '../../weights/layout.ts';
import type { DeviceMatrix } from '../matrix.ts';
import { matvecShape } from './matvec_shape.ts';

export interface InputRows {
  readonly xRow: number;
  readonly xAt: number;
}

const TILE_TOKENS = 32;
const TILE_ROWS = 64;

export interface Product {
  readonly constants: Constants;
  readonly imports: Readonly<Record<string, string>>;
  readonly grid: (tokens: number) => Grid;
}

const common = ({ layout, rows, cols }: DeviceMatrix, { xRow, xAt }: InputRows): Product['constants'] => ({
  ...weightFormat(layout, { rows, cols }).constants,
  K: cols,
  N: rows,
  X_ROW: xRow,
  X_AT: xAt,
  X_VEC4: [cols, xRow, xAt].every((n) => n % 4 === 0),
  K_TAIL: cols % CHUNK !== 0,
});

/** For shaders that import `linear/matvec_rows`. `eps` is null without a fused norm. */
export function matvecProduct(weights: DeviceMatrix, input: InputRows, eps: number | null, software: boolean): Product {
  const { lanes, rowsPerLane, rows } = matvecShape(weights, software);
  return {
    constants: {
      ...common(weights, input),
      LANES: lanes,
      ROWS_PER_LANE: rowsPerLane,
      GAMMA: eps !== null,
      ...(eps === null ? {} : { EPS: eps }),
    },
    imports: weightFormat(weights.layout, weights).imports,
    grid: (tokens) => foldGrid(ceilDiv(weights.rows, rows), tokens),
  };
}

/** For shaders that import `linear/matmul_tile`. */
export function matmulProduct(weights: DeviceMatrix, input: InputRows): Product {
  return {
    constants: common(weights, input),
    imports: weightFormat(weights.layout, weights).imports,
    grid: (tokens) => foldGrid(ceilDiv(weights.rows, TILE_ROWS), ceilDiv(tokens, TILE_TOKENS)),
  };
}
