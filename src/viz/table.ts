/** A figure's numbers as a table: for screen readers, for people who would rather read, and as CSV. */
import { html, nothing, type TemplateResult } from 'lit';

export type Cell = string | number | null;

export interface Table {
  readonly caption: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
}

/** More rows than anybody reads make a page slow; the CSV has them all. */
const SHOWN_ROWS = 300;

export function tableView({ caption, columns, rows }: Table): TemplateResult {
  const left = rows.length - SHOWN_ROWS;
  return html`<div class="table" tabindex="0" role="region" aria-label=${caption}>
    <table>
      <caption>
        ${caption}${left > 0 ? ` The first ${SHOWN_ROWS} rows; ${left} more are in the CSV.` : ''}
      </caption>
      <thead>
        <tr>
          ${columns.map((column, i) => html`<th scope="col" class=${alignment(rows[0]?.[i] ?? null)}>${column}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.slice(0, SHOWN_ROWS).map(
          (row) =>
            html`<tr>
              ${row.map((cell) => html`<td class=${alignment(cell)}>${shown(cell)}</td>`)}
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

/** Numbers in words: `6.4 %`, `×30.4`, `< 0.001`. A digit alone may be a token's text. */
const IN_WORDS = /^(?=.*[.%×÷])[<×÷]? ?[-−]?\d[\d.,]*(?: %)?$/;
const alignment = (cell: Cell): string | typeof nothing =>
  typeof cell === 'number' || (cell !== null && IN_WORDS.test(cell)) ? 'number' : nothing;

const shown = (cell: Cell): string =>
  typeof cell === 'number' ? (Number.isInteger(cell) ? String(cell) : cell.toPrecision(4)) : (cell ?? '–');

/** RFC 4180. A cell that a spreadsheet would run as a formula gets an apostrophe before it. */
export function csvOf({ columns, rows }: Table): string {
  const field = (cell: Cell): string => {
    if (typeof cell === 'number') return Number.isFinite(cell) ? String(cell) : '';
    const text = /^[=+\-@\t\r]/.test(cell ?? '') ? `'${cell}` : (cell ?? '');
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...rows].map((row) => row.map(field).join(',') + '\r\n').join('');
}
