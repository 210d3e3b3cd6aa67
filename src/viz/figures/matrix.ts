/** A matrix of colours: one picture of one pixel a cell, scaled; axes, cursor and legend around it. 48 layers of 128 experts are 6,144 cells and one image. */
import { svg, type TemplateResult } from 'lit';
import { css, type Ramp } from '../ramps.ts';
import { svgFrame } from './frame.ts';
import { rampBar } from './ramp-bar.ts';

export interface MatrixCell {
  readonly row: number;
  readonly column: number;
}

export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  /** [rows, columns]; NaN: nothing to show. */
  readonly values: ArrayLike<number>;
  readonly ramp: Ramp;
  /** What the ends of the ramp stand for. */
  readonly domain: readonly [low: number, high: number];
  readonly label: string;
  readonly rowLabel: (row: number) => string;
  readonly columnLabel: (column: number) => string;
  readonly rowTitle: string;
  readonly columnTitle: string;
  /** What the cell says, for pointer, cursor and screen reader. */
  readonly describe: (cell: MatrixCell) => string;
  readonly legend: (value: number) => string;
  /** Values that are kinds, not amounts: the legend names each instead of the ends of a ramp. */
  readonly classes?: readonly number[];
  readonly cursor: MatrixCell | null;
  readonly width: number;
  /** Cells as outlines over the colours, as those that a token took. */
  readonly marked?: readonly (MatrixCell & { readonly weight?: number })[];
  /** Joins the marked cells of each step from row to row. */
  readonly paths?: readonly { readonly colour: string; readonly cells: readonly MatrixCell[] }[];
  /** Lines between cells, `weight` of 1 as thick as they get. */
  readonly links?: readonly {
    readonly from: MatrixCell;
    readonly to: MatrixCell;
    readonly weight: number;
    readonly colour: string;
    readonly dashed?: boolean;
  }[];
  /** Keys of the view's own, instead of moving from cell to cell: says what they do. */
  readonly keys?: { readonly hint: string; readonly press: (event: KeyboardEvent) => boolean };
  readonly say: (text: string) => void;
  readonly select: (cell: MatrixCell) => void;
  readonly maxCell?: number;
  /** In the cell, where cells have room for it. */
  readonly words?: (value: number) => string;
  /** Room for the labels of the rows. */
  readonly left?: number;
}

const LEFT = 44;
const TOP = 22;
const LEGEND = 40;
/** Room for the name of a class. */
const CLASS = 84;
const CLASS_ROW = 16;
const classesAcross = (width: number, left: number): number => Math.max(1, Math.floor((width - left) / CLASS));
const EMPTY_ALPHA = 0;
const MAX_LINK = 5;

interface Frame {
  readonly left: number;
  readonly cellWidth: number;
  readonly cellHeight: number;
  readonly width: number;
  /** Of the cells. */
  readonly bottom: number;
  readonly height: number;
}

function frameOf({ rows, columns, width, maxCell = 26, left = LEFT, classes }: Matrix): Frame {
  const cellWidth = Math.min(maxCell, (width - left - 2) / columns);
  const cellHeight = Math.min(maxCell, Math.max(7, Math.min(cellWidth * 1.4, 460 / rows)));
  const wide = left + cellWidth * columns + 2;
  const legendHeight = classes
    ? LEGEND - CLASS_ROW + CLASS_ROW * Math.ceil(classes.length / classesAcross(wide, left))
    : LEGEND;
  return {
    left,
    cellWidth,
    cellHeight,
    width: wide,
    bottom: TOP + cellHeight * rows,
    height: TOP + cellHeight * rows + legendHeight,
  };
}

export function matrixView(matrix: Matrix): TemplateResult {
  const frame = frameOf(matrix);
  const cellAt = (event: PointerEvent): MatrixCell | null => {
    const box = (event.currentTarget as SVGElement).getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left) / (box.width / matrix.columns));
    const row = Math.floor((event.clientY - box.top) / (box.height / matrix.rows));
    return column >= 0 && row >= 0 && column < matrix.columns && row < matrix.rows ? { row, column } : null;
  };
  const point = (event: PointerEvent): void => {
    const cell = cellAt(event);
    if (cell) matrix.say(matrix.describe(cell));
  };
  const pick = (event: PointerEvent): void => {
    const cell = cellAt(event);
    if (cell) matrix.select(cell);
  };
  const { width, height } = frame;
  const hint = matrix.keys?.hint ?? 'Arrow keys move, Home and End go to the ends of a row.';
  const keys = (event: KeyboardEvent): void => {
    if (!matrix.keys?.press(event)) moveCursor(event, matrix);
  };
  return svgFrame(
    { kind: 'matrix', label: matrix.label, hint, width, height, keys },
    svg`${axes(matrix, frame)}
      <image
        x=${frame.left}
        y=${TOP}
        width=${frame.cellWidth * matrix.columns}
        height=${frame.cellHeight * matrix.rows}
        preserveAspectRatio="none"
        image-rendering="pixelated"
        href=${picture(matrix)}
        @pointermove=${point}
        @click=${pick}
      ></image>
      ${cellWords(matrix, frame)} ${overlays(matrix, frame)}
      ${matrix.classes ? classLegend(matrix, matrix.classes, frame) : legend(matrix, frame)}`,
  );
}

function moveCursor(event: KeyboardEvent, { rows, columns, cursor, select, say, describe }: Matrix): void {
  // A matrix that selects nothing has its cursor here alone.
  const focus = event.currentTarget as HTMLElement;
  const [keptRow = 0, keptColumn = -1] = focus.dataset.at?.split(',').map(Number) ?? [];
  const { row, column } = cursor ?? { row: keptRow, column: keptColumn };
  const next: Record<string, MatrixCell> = {
    ArrowLeft: { row, column: column - 1 },
    ArrowRight: { row, column: column + 1 },
    ArrowUp: { row: row - 1, column },
    ArrowDown: { row: row + 1, column },
    Home: { row, column: 0 },
    End: { row, column: columns - 1 },
    PageUp: { row: 0, column },
    PageDown: { row: rows - 1, column },
  };
  const to = next[event.key];
  if (!to || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const cell = {
    row: Math.min(rows - 1, Math.max(0, to.row)),
    column: Math.min(columns - 1, Math.max(0, to.column)),
  };
  focus.dataset.at = `${cell.row},${cell.column}`;
  select(cell);
  say(describe(cell));
}

/** The same picture is not encoded twice. */
let last: { key: readonly unknown[]; url: string }[] = [];
const PICTURES_KEPT = 24;

function picture(matrix: Matrix): string {
  const { rows, columns, values, ramp, domain } = matrix;
  const key = [values, ramp, ...domain, rows, columns];
  const known = last.find((entry) => entry.key.every((part, i) => part === key[i]));
  if (known) return known.url;
  const canvas = document.createElement('canvas');
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext('2d')!;
  const image = context.createImageData(columns, rows);
  const span = domain[1] - domain[0] || 1;
  for (let i = 0; i < rows * columns; i++) {
    const value = values[i]!;
    const [red, green, blue] = ramp((value - domain[0]) / span);
    image.data.set([red, green, blue, Number.isNaN(value) ? EMPTY_ALPHA : 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
  const url = canvas.toDataURL();
  last = [{ key, url }, ...last].slice(0, PICTURES_KEPT);
  return url;
}

function axes(matrix: Matrix, { left, cellWidth, cellHeight }: Frame): unknown {
  const rowStep = Math.ceil(12 / cellHeight);
  const columnStep = Math.ceil(26 / cellWidth);
  const labels: unknown[] = [];
  for (let row = 0; row < matrix.rows; row += rowStep)
    labels.push(
      svg`<text class="tick" x=${left - 5} y=${TOP + (row + 0.5) * cellHeight} text-anchor="end" dominant-baseline="central">${matrix.rowLabel(row)}</text>`,
    );
  for (let column = 0; column < matrix.columns; column += columnStep)
    labels.push(
      svg`<text class="tick" x=${left + (column + 0.5) * cellWidth} y=${TOP - 5} text-anchor="middle">${matrix.columnLabel(column)}</text>`,
    );
  return svg`${labels}<text class="axis" x="0" y=${TOP - 5}>${matrix.rowTitle}</text>`;
}

/** Narrower cells have no room for words. */
const LEAST_FOR_WORDS = 32;

function cellWords({ values, words, ramp, domain, columns }: Matrix, { left, cellWidth, cellHeight }: Frame): unknown {
  if (!words || cellWidth < LEAST_FOR_WORDS) return null;
  return Array.from(values, (value, i) => {
    if (Number.isNaN(value)) return null;
    const [red, green, blue] = ramp((value - domain[0]) / (domain[1] - domain[0] || 1));
    // Rec. 709 luma.
    const isLight = 0.2126 * red + 0.7152 * green + 0.0722 * blue > 120;
    return svg`<text class=${isLight ? 'on-light' : 'on-dark'} pointer-events="none" text-anchor="middle" dominant-baseline="central"
      x=${left + ((i % columns) + 0.5) * cellWidth} y=${TOP + (Math.floor(i / columns) + 0.5) * cellHeight}>${words(value)}</text>`;
  });
}

function overlays(
  { marked = [], paths = [], links = [], cursor }: Matrix,
  { left, cellWidth, cellHeight }: Frame,
): unknown {
  const x = (column: number): number => left + column * cellWidth;
  const y = (row: number): number => TOP + row * cellHeight;
  return svg`
    ${paths.map(
      ({ colour, cells }) =>
        svg`<polyline class="path" stroke=${colour} points=${cells
          .map(({ row, column }) => `${x(column + 0.5)},${y(row + 0.5)}`)
          .join(' ')}></polyline>`,
    )}
    ${links.map(
      ({ from, to, weight, colour, dashed }) =>
        svg`<line class="path ${dashed ? 'dashed' : ''}" stroke=${colour} stroke-width=${1 + MAX_LINK * weight} x1=${x(from.column + 0.5)} y1=${y(from.row + 0.5)} x2=${x(to.column + 0.5)} y2=${y(to.row + 0.5)}></line>`,
    )}
    ${marked.map(
      ({ row, column, weight = 1 }) =>
        svg`<rect class="mark" x=${x(column)} y=${y(row)} width=${cellWidth} height=${cellHeight} stroke-width=${1 + 2 * weight}></rect>`,
    )}
    ${
      cursor &&
      svg`<rect class="cursor" x=${x(cursor.column)} y=${y(cursor.row)} width=${cellWidth} height=${cellHeight}></rect>`
    }`;
}

function classLegend(
  { ramp, domain, legend: words }: Matrix,
  classes: readonly number[],
  { left, width, bottom }: Frame,
): unknown {
  const across = classesAcross(width, left);
  return classes.map((value, i) => {
    const [x, y] = [left + (i % across) * CLASS, bottom + 12 + Math.floor(i / across) * CLASS_ROW];
    const colour = css(ramp((value - domain[0]) / (domain[1] - domain[0])));
    return svg`<rect x=${x} y=${y} width="10" height="10" rx="2" fill=${colour}></rect>
      <text class="tick" x=${x + 14} y=${y + 9}>${words(value)}</text>`;
  });
}

function legend({ ramp, domain, legend: words, columnTitle }: Matrix, { left, height, width }: Frame): unknown {
  const bar = Math.min(160, width - left - 2);
  const top = height - 26;
  return svg`
    ${rampBar(ramp, left, top, bar)}
    <text class="tick" x=${left} y=${top + 20}>${words(domain[0])}</text>
    <text class="tick" x=${left + bar} y=${top + 20} text-anchor="end">${words(domain[1])}</text>
    <text class="axis" x=${Math.max(left + bar + 10, width)} y=${top + 8} text-anchor="end">${
      width > left + bar + 7 * columnTitle.length ? columnTitle : ''
    }</text>`;
}
