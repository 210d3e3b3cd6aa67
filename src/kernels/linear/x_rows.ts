/** Constants of shaders/linear/x_rows.wgsl. */
import type { Constants } from '../../gpu/shader.ts';
import { CHUNK } from '../../weights/layout.ts';

export interface InputRows {
  /** Length of a row of x, and where its K values start. */
  readonly xRow: number;
  readonly xAt: number;
}

/** @param cols K, the values of a row that are read */
export function inputConstants(cols: number, { xRow, xAt }: InputRows): Constants {
  const fits = (n: number): boolean => [cols, xRow, xAt].every((value) => value % n === 0);
  const place = { K: cols, X_ROW: xRow, X_AT: xAt, X_CHUNKS: fits(CHUNK) };
  return place.X_CHUNKS ? place : { ...place, X_VEC4: fits(4), K_TAIL: cols % CHUNK !== 0 };
}
