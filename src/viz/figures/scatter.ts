/** Points in a plane without scales: only what is near what can be read from it. */
import { svg, type TemplateResult } from 'lit';
import { svgFrame } from './frame.ts';

const SHAPES = ['circle', 'square', 'triangle'] as const;

export interface ScatterStyle {
  readonly colour: string;
  /** Index of the shape; with the hue it tells kinds apart. */
  readonly shape: number;
}

export interface Scatter {
  readonly label: string;
  /** [n]; NaN: not there. */
  readonly x: Float64Array;
  readonly y: Float64Array;
  readonly style: (point: number) => ScatterStyle;
  readonly legend: readonly (ScatterStyle & { readonly label: string })[];
  readonly name: (point: number) => string;
  readonly describe: (point: number) => string;
  readonly cursor: number | null;
  /** Points that up and down arrows skip. */
  readonly row: number;
  readonly width: number;
  readonly height: number;
  readonly say: (text: string) => void;
  readonly select: (point: number) => void;
}

const MARGIN = 14;
const LINE = 18;

function outline({ shape }: ScatterStyle, x: number, y: number, r: number): string {
  const kind = SHAPES[shape % SHAPES.length]!;
  if (kind === 'square') return `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}z`;
  if (kind === 'triangle') return `M${x} ${y - 1.3 * r}l${1.2 * r} ${2.2 * r}h${-2.4 * r}z`;
  return `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`;
}

interface Placed {
  readonly at: number;
  readonly x: number;
  readonly y: number;
}

/** One scale for both axes: distances are what counts. */
function place({ x, y, width, height }: Scatter): readonly Placed[] {
  const shown = Array.from(x.keys()).filter((at) => !Number.isNaN(x[at]!));
  const ends = (of: Float64Array): [number, number] =>
    shown.reduce(([low, high], at) => [Math.min(low, of[at]!), Math.max(high, of[at]!)], [Infinity, -Infinity]);
  const [[left, right], [low, high]] = [ends(x), ends(y)];
  const scale = Math.min((width - 2 * MARGIN) / (right - left || 1), (height - 2 * MARGIN) / (high - low || 1));
  return shown.map((at) => ({
    at,
    x: width / 2 + (x[at]! - (left + right) / 2) * scale,
    y: height / 2 - (y[at]! - (low + high) / 2) * scale,
  }));
}

export function scatterView(figure: Scatter): TemplateResult {
  const { x, width, height, cursor, row, style, legend, name, describe, say, select } = figure;
  const placed = place(figure);
  const radius = placed.length > 1500 ? 2 : placed.length > 400 ? 3 : 4.5;
  const nearest = (event: PointerEvent): number | null => {
    const box = (event.currentTarget as SVGElement).getBoundingClientRect();
    const distance = (p: Placed): number => Math.hypot(p.x - event.clientX + box.left, p.y - event.clientY + box.top);
    return placed.length ? placed.reduce((a, b) => (distance(b) < distance(a) ? b : a)).at : null;
  };
  const keys = (event: KeyboardEvent): void => {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    let at = cursor === null ? (placed[0]?.at ?? -1) : cursor + step;
    while (at >= 0 && at < x.length && Number.isNaN(x[at]!)) at += step;
    if (at < 0 || at >= x.length) return;
    select(at);
    say(describe(at));
  };
  const groups = new Map<string, ScatterStyle & { d: string }>();
  for (const point of placed) {
    const of = style(point.at);
    const key = `${of.colour} ${of.shape}`;
    const group = groups.get(key) ?? { ...of, d: '' };
    group.d += outline(of, point.x, point.y, radius);
    groups.set(key, group);
  }
  const selected = placed.find(({ at }) => at === cursor);
  const perLine = Math.max(1, Math.floor(width / 130));
  const all = height + LINE * Math.ceil(legend.length / perLine) + 4;
  const hint = 'Left and right arrow keys move by expert, up and down by layer.';
  const surface = {
    point: (event: PointerEvent): void => {
      const at = nearest(event);
      if (at !== null) say(describe(at));
    },
    pick: (event: PointerEvent): void => {
      const at = nearest(event);
      if (at !== null) select(at);
    },
  };
  return svgFrame(
    { kind: 'map', label: figure.label, hint, width, height: all, keys, surface },
    svg`<rect class="frame" x="0.5" y="0.5" width=${width - 1} height=${height - 1} rx="8"></rect>
      ${[...groups.values()].map(({ colour, d }) => svg`<path class="point" fill=${colour} fill-opacity="0.85" d=${d}></path>`)}
      ${
        selected &&
        svg`<circle class="cursor" cx=${selected.x} cy=${selected.y} r=${radius + 4}></circle>
          <text x=${selected.x} y=${selected.y > 24 ? selected.y - radius - 8 : selected.y + radius + 16}
            text-anchor=${selected.x < 60 ? 'start' : selected.x > width - 60 ? 'end' : 'middle'}>${name(selected.at)}</text>`
      }
      ${legend.map((entry, i) => {
        const [left, top] = [(i % perLine) * 130, height + LINE * (Math.floor(i / perLine) + 0.75)];
        return svg`<path class="point" fill=${entry.colour} d=${outline(entry, left + 8, top - 1, 4.5)}></path>
          <text class="tick" x=${left + 18} y=${top + 3}>${entry.label}</text>`;
      })}`,
  );
}
