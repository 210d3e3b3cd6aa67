/** Hit rate by capacity as a small SVG, one panel a trace, that reads on light and dark pages. */
export interface Series {
  readonly name: string;
  /** [capacity in percent, hit rate in percent], by rising capacity. */
  readonly points: readonly (readonly [number, number])[];
}

export interface Panel {
  readonly title: string;
  readonly series: readonly Series[];
}

const WIDTH = 340;
const HEIGHT = 260;
const LEFT = 40;
const TOP = 34;
const RIGHT = 12;
const BOTTOM = 40;
/** Told apart on white and on black, and by people who do not see red and green. */
const COLORS = ['#d97706', '#2f81f7', '#1a9d6c', '#b45dd4', '#888888'];
const DASHES = ['', '6 3', '2 3', '8 3 2 3', ''];

const escape = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const round = (n: number): number => Math.round(n * 10) / 10;

export function plot(panels: readonly Panel[]): string {
  const names = [...new Set(panels.flatMap((p) => p.series.map((s) => s.name)))];
  const legend = names.map((name, n) => {
    const x = LEFT + n * 100;
    return `<path class="s${n}" d="M${x} ${HEIGHT + 14}h22"/><text x="${x + 27}" y="${HEIGHT + 18}">${escape(name)}</text>`;
  });
  const styles = names.map(
    (_, n) => `.s${n}{stroke:${COLORS[n % COLORS.length]};stroke-dasharray:${DASHES[n % DASHES.length] || 'none'}}`,
  );
  const width = Math.max(panels.length * WIDTH, LEFT + names.length * 100);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${HEIGHT + 30}" role="img" aria-label="Hit rate by share of experts on the GPU">
<style>text{font:11px system-ui,sans-serif;fill:#333}.t{font-weight:600}.g{stroke:#8884}path{fill:none;stroke-width:1.8}.g{stroke-width:1}${styles.join('')}@media(prefers-color-scheme:dark){text{fill:#ddd}}</style>
${panels.map((p, n) => `<g transform="translate(${n * WIDTH} 0)">\n${panel(p, names)}\n</g>`).join('\n')}
${legend.join('\n')}
</svg>
`;
}

function panel({ title, series }: Panel, names: readonly string[]): string {
  const most = Math.max(1, ...series.flatMap((s) => s.points.map(([capacity]) => capacity)));
  const x = (capacity: number): number => round(LEFT + ((WIDTH - LEFT - RIGHT) * capacity) / most);
  const y = (hits: number): number => round(HEIGHT - BOTTOM - ((HEIGHT - TOP - BOTTOM) * hits) / 100);
  const ticks = [...new Set(series.flatMap((s) => s.points.map(([capacity]) => capacity)))];
  /** Labels that would overlap are left out. */
  const labelled = ticks
    .filter((tick, n) => n === ticks.length - 1 || x(ticks[ticks.length - 1]!) - x(tick) > 22)
    .filter((tick, n, all) => n === 0 || x(tick) - x(all[n - 1]!) > 22);
  return [
    `<text class="t" x="${LEFT}" y="18">${escape(title)}</text>`,
    ...[0, 25, 50, 75, 100].map(
      (h) =>
        `<path class="g" d="M${LEFT} ${y(h)}H${WIDTH - RIGHT}"/><text x="${LEFT - 6}" y="${y(h) + 4}" text-anchor="end">${h}</text>`,
    ),
    ...labelled.map((c) => `<text x="${x(c)}" y="${HEIGHT - BOTTOM + 15}" text-anchor="middle">${c}</text>`),
    `<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - BOTTOM + 30}" text-anchor="middle">% of experts in slots; up: decode hit %</text>`,
    ...series.map(
      (s) =>
        `<path class="s${names.indexOf(s.name)}" d="M${s.points.map(([c, h]) => `${x(c)} ${y(h)}`).join('L')}"><title>${escape(s.name)}</title></path>`,
    ),
  ].join('\n');
}
