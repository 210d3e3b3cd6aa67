/** Constants of shaders/linear/x_rows.wgsl and x_quads.wgsl. */
import type { Constants } from '../../gpu/shader.ts';
import { CHUNK } from '../../weights/layout.ts';

export interface InputRows {
  /** Length of a row of x, and where its K values start. */
  readonly xRow: number;
  readonly xAt: number;
}

/** Values of x that a shader reads at once, where all of `sizes` are whole numbers of them. */
export type InputUnit = 1 | 4 | typeof CHUNK;

export function inputUnit(...sizes: readonly number[]): InputUnit {
  const fits = (n: number): boolean => sizes.every((size) => size % n === 0);
  return fits(CHUNK) ? CHUNK : fits(4) ? 4 : 1;
}

/**
 * @param cols K, the values of a row that are read
 * @param unit for shaders that read other rows through the same binding
 */
export function inputConstants(
  cols: number,
  { xRow, xAt }: InputRows,
  unit: InputUnit = inputUnit(cols, xRow, xAt),
): Constants {
  const place = { K: cols, X_ROW: xRow, X_AT: xAt, X_CHUNKS: unit === CHUNK };
  return unit === CHUNK ? place : { ...place, X_VEC4: unit === 4, K_TAIL: cols % CHUNK !== 0 };
}
