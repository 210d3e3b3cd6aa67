/** Cuts the rows of a matrix into parts that have one layout and fit one binding. */
import { OutOfBudget } from '../../errors.ts';
import { planes, sameLayout, type Layout } from '../../weights/layout.ts';
import type { PublishedMatrix } from '../../weights/matrix.ts';
import type { MatrixPart, Piece } from './specs.ts';

/** All rows of a published matrix go to rows `target`, `target + stride`, ... */
export interface Rows {
  readonly source: PublishedMatrix;
  readonly target: number;
  readonly stride: number;
  readonly layout: Layout;
}

/**
 * One part for neighbours of one layout, cut where a binding would overflow.
 * @param unit rows that stay together
 */
export function partsOf(label: string, rows: readonly Rows[], unit: number, bindingBytes: number): MatrixPart[] {
  const parts: MatrixPart[] = [];
  let open: { layout: Layout; cols: number; firstRow: number; rows: number; pieces: Piece[] } | null = null;
  for (const { source, target, layout } of rows) {
    const rowBytes = planes(layout, { rows: 1024, cols: source.cols }).bytes / 1024;
    const most = Math.floor((bindingBytes - 64) / rowBytes / unit) * unit;
    if (most < 1) {
      const what = unit > 1 ? `${unit} rows` : 'One row';
      throw new OutOfBudget(`${what} of ${label} exceed what this GPU binds at once`, { label });
    }
    for (let begin = 0; begin < source.rows;) {
      if (!open || !sameLayout(open.layout, layout) || open.rows >= most) {
        open = { layout, cols: source.cols, firstRow: target + begin, rows: 0, pieces: [] };
        parts.push(open);
      }
      const end: number = Math.min(source.rows, begin + most - open.rows);
      open.pieces.push({ source, begin, end, target: open.rows, stride: 1 });
      open.rows += end - begin;
      begin = end;
    }
  }
  return parts;
}

export function refuseTooLarge(label: string, part: MatrixPart, bindingBytes: number): void {
  const bytes = planes(part.layout, part).bytes;
  if (bytes > bindingBytes) {
    throw new OutOfBudget(
      `${label} takes ${bytes} bytes, more than this GPU binds at once (${bindingBytes}); load it with weights: "q4"`,
      { label, bytes },
    );
  }
}
