/** Lines, bars and points over one axis, with the band that chance alone gives. SVG, so that it exports and follows the theme. */
import { nothing, svg, type TemplateResult } from 'lit';
import { svgFrame } from './frame.ts';

export interface Series {
  readonly label: string;
  /** [n]; NaN: no point. */
  readonly y: ArrayLike<number>;
  readonly as: 'line' | 'bars' | 'points' | 'step';
  /** Default: the accent. */
  readonly colour?: string;
  readonly dashed?: boolean;
}

export interface PlotBand {
  readonly label: string;
  readonly low: ArrayLike<number>;
  readonly high: ArrayLike<number>;
}

export interface Plot {
  readonly label: string;
  /** Positions of the n points; default 0 to n - 1. */
  readonly x?: ArrayLike<number>;
  readonly series: readonly Series[];
  readonly bands?: readonly PlotBand[];
  readonly xTitle: string;
  readonly yTitle: string;
  readonly xWords?: (x: number) => string;
  readonly yWords: (y: number) => string;
  /** Grows to hold the values; default from 0. */
  readonly yDomain?: readonly [low: number, high: number];
  /** Vertical lines. */
  readonly marks?: readonly { readonly x: number; readonly label: string }[];
  /** Index of the point under the cursor. */
  readonly cursor?: number | null;
  readonly describe: (index: number) => string;
  readonly width: number;
  readonly height?: number;
  readonly say: (text: string) => void;
  readonly select?: (index: number) => void;
}

const LEFT = 52;
const RIGHT = 20;
const TOP = 20;
const BOTTOM = 34;

interface Scales {
  readonly x: (i: number) => number;
  readonly y: (value: number) => number;
  readonly n: number;
  readonly step: number;
  readonly xs: ArrayLike<number>;
  readonly yTicks: readonly number[];
  readonly top: number;
  readonly height: number;
  readonly key: readonly KeyEntry[];
  readonly bars: boolean;
}

/** The next of 1, 2 and 5 times a power of ten. */
function roundUp(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5, 10].find((m) => m * power >= rough) ?? 10);
}

/** 1, 2 or 5 times a power of ten, about `wanted` of them. */
export function ticks(low: number, high: number, wanted: number): number[] {
  const span = high - low;
  if (!(span > 0)) return [low];
  const step = roundUp(span / Math.max(1, wanted));
  const from = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - from + 1 }, (_, i) => (from + i) * step);
}

function extent(lists: readonly ArrayLike<number>[], low: number, high: number): readonly [number, number] {
  for (const list of lists)
    for (let i = 0; i < list.length; i++) {
      const value = list[i]!;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  return [low, high > low ? high : low + 1];
}

function scalesOf(plot: Plot): Scales {
  const { x, series, bands = [], yDomain, width } = plot;
  const key = keyOf(plot);
  const keyHeight = key.length ? KEY_ROW * (key.at(-1)!.row + 1) : 0;
  const top = TOP + keyHeight;
  const height = (plot.height ?? 200) + keyHeight;
  const n = Math.max(0, ...series.map((s) => s.y.length));
  const xs = x ?? Array.from({ length: n }, (_, i) => i);
  const bars = series.some((s) => s.as === 'bars');
  const [low, high] = extent(
    [...series.map((s) => s.y), ...bands.flatMap((b) => [b.low, b.high])],
    yDomain?.[0] ?? 0,
    yDomain?.[1] ?? 0,
  );
  const left = n ? xs[0]! : 0;
  const span = n > 1 ? xs[n - 1]! - left : 1;
  const step = (width - LEFT - RIGHT) / (bars ? n || 1 : Math.max(1, n - 1));
  const across = (value: number): number =>
    bars
      ? LEFT + (((value - left) / span) * (n - 1) + 0.5) * step
      : LEFT + ((value - left) / (span || 1)) * (width - LEFT - RIGHT);
  return {
    x: (i) => across(xs[i]!),
    y: (value) => top + (1 - (value - low) / (high - low)) * (height - top - BOTTOM),
    n,
    step,
    xs,
    yTicks: ticks(low, high, 4),
    top,
    height,
    key,
    bars,
  };
}

export function plotView(plot: Plot): TemplateResult {
  const scales = scalesOf(plot);
  const { n, height } = scales;
  const nearest = (event: PointerEvent): number => {
    const box = (event.currentTarget as SVGElement).getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * plot.width;
    let best = 0;
    for (let i = 1; i < n; i++) if (Math.abs(scales.x(i) - at) < Math.abs(scales.x(best) - at)) best = i;
    return best;
  };
  const keys = (event: KeyboardEvent): void => {
    // A plot that selects nothing has its cursor here alone.
    const focus = event.currentTarget as HTMLElement;
    const from = plot.cursor ?? Number(focus.dataset.at ?? -1);
    const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: n - 1 }[event.key];
    if (to === undefined || n === 0) return;
    event.preventDefault();
    const index = Math.min(n - 1, Math.max(0, to));
    focus.dataset.at = String(index);
    plot.select?.(index);
    plot.say(plot.describe(index));
  };
  const hint = 'Left and right arrow keys move from point to point.';
  const surface = {
    point: (event: PointerEvent) => n && plot.say(plot.describe(nearest(event))),
    pick: (event: PointerEvent) => n && plot.select?.(nearest(event)),
  };
  return svgFrame(
    { kind: 'chart', label: plot.label, hint, width: plot.width, height, keys, surface },
    svg`${grid(plot, scales)} ${(plot.bands ?? []).map((band) => bandView(band, scales))}
      ${plot.series.map((series) => seriesView(series, scales))} ${marksView(plot, scales)} ${keyView(scales.key)}`,
  );
}

function grid({ width, xTitle, yTitle, xWords = String, yWords }: Plot, scales: Scales): unknown {
  const { x, y, n, xs, yTicks, top, height } = scales;
  const every = roundUp(Math.max(1, n / Math.max(1, Math.floor((width - LEFT) / 56))));
  return svg`
    ${yTicks.map(
      (tick) => svg`<line class="grid" x1=${LEFT} x2=${width - RIGHT} y1=${y(tick)} y2=${y(tick)}></line>
        <text class="tick" x=${LEFT - 6} y=${y(tick)} text-anchor="end" dominant-baseline="central">${yWords(tick)}</text>`,
    )}
    ${Array.from({ length: Math.ceil(n / every) }, (_, i) => i * every).map(
      (i) => svg`<text class="tick" x=${x(i)} y=${height - BOTTOM + 14} text-anchor="middle">${xWords(xs[i]!)}</text>`,
    )}
    <text class="axis" x=${width - RIGHT} y=${height - 4} text-anchor="end">${xTitle}</text>
    <text class="axis" x="0" y=${top - 9}>${yTitle}</text>`;
}

function bandView({ low, high }: PlotBand, { x, y, n, bars, step }: Scales): unknown {
  if (n === 0) return null;
  if (bars)
    return svg`${Array.from({ length: n }, (_, i) =>
      Number.isFinite(low[i]! + high[i]!)
        ? svg`<rect class="band" x=${x(i) - step / 2} width=${step} y=${y(high[i]!)} height=${y(low[i]!) - y(high[i]!)}></rect>`
        : null,
    )}`;
  const pad = n === 1 ? step / 2 : 0;
  const ends = [x(0) - pad, ...Array.from({ length: n }, (_, i) => x(i)), x(n - 1) + pad];
  const at = (i: number): number => Math.min(n - 1, Math.max(0, i - 1));
  const upper = ends.map((px, i) => `${px},${y(high[at(i)]!)}`);
  const lower = ends.map((px, i) => `${px},${y(low[at(i)]!)}`).reverse();
  return svg`<polygon class="band" points=${[...upper, ...lower].join(' ')}></polygon>`;
}

function seriesView({ y: values, as, colour, dashed }: Series, { x, y, step }: Scales): unknown {
  const own = colour ?? nothing;
  const points = Array.from(values, (value, i) => [x(i), y(value)] as const).filter(([, py]) => Number.isFinite(py));
  if (as === 'bars')
    return svg`<g>${points.map(
      ([px, py]) =>
        svg`<rect class="bar" fill=${own} x=${px - step * 0.4} width=${Math.max(1, step * 0.8)} y=${Math.min(py, y(0))} height=${Math.abs(y(0) - py)}></rect>`,
    )}</g>`;
  if (as === 'points')
    return svg`<g>${points.map(([px, py]) => svg`<circle class="dot" fill=${own} cx=${px} cy=${py} r="3"></circle>`)}</g>`;
  const line = points
    .map(([px, py], i) => (i === 0 ? `M${px} ${py}` : as === 'step' ? `H${px}V${py}` : `L${px} ${py}`))
    .join('');
  return svg`<path class="line ${dashed ? 'dashed' : ''}" stroke=${own} d=${line}></path>`;
}

function marksView({ marks = [], cursor, series }: Plot, { x, y, n, xs, top, height }: Scales): unknown {
  const position = (value: number): number => {
    let i = 0;
    while (i < n - 1 && xs[i]! < value) i++;
    const before = Math.max(0, i - 1);
    const part = i === before ? 0 : Math.min(1, (xs[i]! - value) / (xs[i]! - xs[before]!));
    return x(i) - part * (x(i) - x(before));
  };
  return svg`
    ${marks.map(
      ({
        x: at,
        label,
      }) => svg`<line class="mark" x1=${position(at)} x2=${position(at)} y1=${top} y2=${height - BOTTOM}></line>
        <text class="tick" x=${position(at) + 4} y=${top + 9}>${label}</text>`,
    )}
    ${
      cursor !== null && cursor !== undefined && cursor < n
        ? svg`<line class="cursor" x1=${x(cursor)} x2=${x(cursor)} y1=${top} y2=${height - BOTTOM}></line>
          ${series.map((s) =>
            Number.isFinite(s.y[cursor])
              ? svg`<circle class="at" cx=${x(cursor)} cy=${y(s.y[cursor]!)} r="4"></circle>`
              : null,
          )}`
        : null
    }`;
}

interface KeyEntry {
  readonly label: string;
  readonly colour: string | undefined;
  readonly kind: Series['as'] | 'band';
  readonly x: number;
  readonly row: number;
}

const KEY_ROW = 16;
const letters = (label: string): number => 6.3 * label.length;

/** Names of the series and of the bands over the figure, in as many rows as they need; one alone needs no name. */
function keyOf({ series, bands = [], width }: Plot): readonly KeyEntry[] {
  const entries = [
    ...series.map(({ label, colour, as }) => ({ label, colour, kind: as })),
    ...bands.map(({ label }) => ({ label, colour: undefined, kind: 'band' as const })),
  ];
  if (entries.length < 2) return [];
  let x = 0;
  let row = 0;
  return entries.map((entry) => {
    const size = 28 + letters(entry.label);
    if (x > 0 && x + size > width) {
      x = 0;
      row++;
    }
    x += size;
    return { ...entry, x: x - size, row };
  });
}

const keyView = (entries: readonly KeyEntry[]): unknown =>
  entries.map(
    ({ label, colour, kind, x, row }) => svg`<rect class=${kind === 'band' ? 'band' : 'key'} fill=${
      colour ?? nothing
    } x=${x} y=${3 + row * KEY_ROW} width="10" height="10" rx="2"></rect>
      <text class="tick" x=${x + 14} y=${12 + row * KEY_ROW}>${label}</text>`,
  );
