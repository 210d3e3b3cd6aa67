/** Small charts as SVG text, for a page without scripts: bars beside each other, and lines over a number. */

const WIDTH = 640;
const LEFT = 190;
const BAR = 22;
const COLOURS = ['#2f5d8a', '#b3541e', '#3d7a4a', '#7a4b94', '#8a7a2f', '#94304a'];

export const escaped = (text: string): string =>
  text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]!);

const three = (value: number): string => String(Number(value.toPrecision(3)));

const svg = (height: number, title: string, body: string): string =>
  `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escaped(title)}"><title>${escaped(title)}</title>${body}</svg>`;

const text = (x: number, y: number, content: string, anchor: 'start' | 'middle' | 'end' = 'start'): string =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${escaped(content)}</text>`;

export interface Bar {
  readonly label: string;
  readonly value: number;
}

/** From zero; each bar with its value behind it. */
export function barChart(title: string, unit: string, bars: readonly Bar[]): string {
  const most = Math.max(...bars.map((b) => b.value), Number.MIN_VALUE);
  const room = WIDTH - LEFT - 110;
  const body = bars.map(({ label, value }, i) => {
    const y = i * BAR;
    const width = (room * value) / most;
    return [
      text(LEFT - 8, y + 15, label, 'end'),
      `<rect x="${LEFT}" y="${y + 3}" width="${width.toFixed(1)}" height="${BAR - 6}" fill="${COLOURS[0]}"/>`,
      text(LEFT + width + 6, y + 15, `${three(value)} ${unit}`),
    ].join('');
  });
  return svg(bars.length * BAR + 4, title, body.join(''));
}

export interface Line {
  readonly label: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

const HEIGHT = 260;
const BOTTOM = 36;
const TOP = 24;

/** Both axes linear, y from zero; a dot each point, a name each line. */
export function lineChart(
  title: string,
  axes: { readonly x: string; readonly y: string },
  lines: readonly Line[],
): string {
  const points = lines.flatMap((l) => l.points);
  const xs = points.map(([x]) => x);
  const [low, high] = [Math.min(...xs), Math.max(...xs)];
  const most = Math.max(...points.map(([, y]) => y), Number.MIN_VALUE);
  const right = WIDTH - LEFT;
  const xOf = (x: number): number => 60 + ((right - 60) * (x - low)) / (high - low || 1);
  const yOf = (y: number): number => HEIGHT - BOTTOM - ((HEIGHT - BOTTOM - TOP) * y) / most;
  const ticks = [...new Set(xs)].sort((a, b) => a - b);
  const frame = [
    `<path d="M60 ${TOP}V${HEIGHT - BOTTOM}H${right}" fill="none" stroke="currentColor"/>`,
    text(54, yOf(most) + 4, three(most), 'end'),
    text(54, yOf(0) + 4, '0', 'end'),
    text(60, 14, axes.y),
    text((60 + right) / 2, HEIGHT - 4, axes.x, 'middle'),
    ...ticks.map((x) => text(xOf(x), HEIGHT - BOTTOM + 16, three(x), 'middle')),
  ];
  const drawn = lines.map(({ label, points: own }, i) => {
    const colour = COLOURS[i % COLOURS.length]!;
    const at = own.map(([x, y]) => `${xOf(x).toFixed(1)},${yOf(y).toFixed(1)}`);
    const dots = at.map((p) => `<circle cx="${p.split(',')[0]}" cy="${p.split(',')[1]}" r="3" fill="${colour}"/>`);
    const name = `<g color="${colour}">${text(right + 12, TOP + 12 + 18 * i, label)}</g>`;
    return `<polyline points="${at.join(' ')}" fill="none" stroke="${colour}" stroke-width="1.5"/>${dots.join('')}${name}`;
  });
  return svg(HEIGHT, title, [...frame, ...drawn].join(''));
}
