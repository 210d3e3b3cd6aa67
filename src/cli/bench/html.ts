/** A sweep as one page that needs nothing beside it: no script, no font, no network. */
import { barChart, escaped, lineChart, type Line } from './chart.ts';
import type { BenchRow } from './sweep.ts';
import { FIGURE_COLUMNS, SETTING_COLUMNS, shown, type Column } from './table.ts';

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem;color:#1d2329;background:#fff}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}svg{width:100%;max-width:760px;display:block}svg text{font:12px system-ui,sans-serif;fill:currentColor}
div{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}th,td{padding:.2rem .6rem;text-align:right;border-bottom:1px solid #d5dae0;white-space:nowrap}
@media(prefers-color-scheme:dark){body{color:#e4e8ec;background:#15191d}th,td{border-color:#3a424a}}`;

/** What varies in a sweep: the columns with more than one value. */
const varying = (rows: readonly BenchRow[]): Column[] =>
  SETTING_COLUMNS.filter((c) => new Set(rows.map(c.of)).size > 1);

const labelOf = (row: BenchRow, columns: readonly Column[]): string =>
  columns.map((c) => `${c.name} ${shown(c.of(row))}`).join(', ') || row.model;

/** One line for each combination of what else varies. */
function linesOver(rows: readonly BenchRow[], over: Column, others: readonly Column[], y: Column): Line[] {
  const lines = new Map<string, [number, number][]>();
  for (const row of rows) {
    const [x, value] = [over.of(row), y.of(row)];
    if (typeof x !== 'number' || typeof value !== 'number') continue;
    const label = labelOf(row, others);
    lines.set(label, [...(lines.get(label) ?? []), [x, value]]);
  }
  return [...lines].map(([label, points]) => ({ label, points: points.sort(([a], [b]) => a - b) }));
}

const CHARTED = ['ttft_ms', 'itl_median_ms', 'end_to_end_ms', 'tokens_per_s', 'weight_bytes_per_token', 'gpu_bytes'];

function charts(rows: readonly BenchRow[]): string[] {
  const varied = varying(rows);
  return FIGURE_COLUMNS.filter((c) => CHARTED.includes(c.name)).flatMap((figure) => {
    const over = varied.filter((c) => rows.every((row) => typeof c.of(row) === 'number'));
    const lines = over.map((c) =>
      lineChart(
        `${figure.name} over ${c.name}`,
        { x: c.name, y: figure.name },
        linesOver(
          rows,
          c,
          varied.filter((other) => other !== c),
          figure,
        ),
      ),
    );
    const bars = barChart(
      figure.name,
      '',
      rows.map((row) => ({ label: labelOf(row, varied), value: Number(figure.of(row) ?? 0) })),
    );
    return [`<h2>${escaped(figure.name)}</h2>`, ...(lines.length ? lines : [bars])];
  });
}

function table(rows: readonly BenchRow[]): string {
  const columns = [...SETTING_COLUMNS, ...FIGURE_COLUMNS];
  const line = (tag: 'th' | 'td', cells: readonly string[]): string =>
    `<tr>${cells.map((cell) => `<${tag}>${escaped(cell)}</${tag}>`).join('')}</tr>`;
  const body = rows.map((row) =>
    line(
      'td',
      columns.map((c) => shown(c.of(row))),
    ),
  );
  return `<div><table>${line(
    'th',
    columns.map((c) => c.name),
  )}${body.join('')}</table></div>`;
}

/** @param rows at least one */
export function html(rows: readonly BenchRow[]): string {
  const { adapter, cost } = rows[0]!.report;
  const name = adapter.description || `${adapter.vendor} ${adapter.architecture}`;
  const { bytesPerSecond, launchSeconds } = cost.floorFor;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>webmoe bench</title><style>${STYLE}</style></head><body>
<h1>webmoe bench</h1>
<p>Adapter: ${escaped(name)}.${adapter.isFallback ? ' It is software: its times say nothing about GPUs.' : ''} One sequence at a time. Floors are for ${shown(bytesPerSecond / 1e9)} GB/s and ${shown(1e6 * launchSeconds)} µs a dispatch.</p>
${charts(rows).join('\n')}
<h2>All figures</h2>
${table(rows)}
</body></html>
`;
}
