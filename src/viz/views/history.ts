/** Everything that a trace holds in one picture: all tokens, all layers, all experts. */
import { html, type TemplateResult } from 'lit';
import { rowsOf } from '../../trace/stats/select.ts';
import { ABSENT, type Trace } from '../../trace/trace.ts';
import { PAN, raster, ZOOM, type Area, type Raster, type Viewport } from '../figures/raster.ts';
import { lacksTokens } from '../lacks.ts';
import { heat, HUES } from '../ramps.ts';
import { chosenAt, chosenWords, nearest, routeWords, spanName, spansOf, type Span } from '../route.ts';
import type { Context, View } from '../view.ts';
import { count, expertName, percent } from '../words.ts';

interface History {
  readonly trace: Trace;
  readonly rows: Uint32Array;
  readonly spans: readonly Span[];
}

const MOST_HEIGHT = 460;
/** Room for the names of prompt and answer. */
const HEAD = 14;
/** Of the ramp: the least mark still shows. */
const FAINTEST = 0.2;

function paletteOf(dark: boolean): Uint32Array {
  const of = (level: number): number => {
    const [red, green, blue] = heat(dark)(FAINTEST + ((1 - FAINTEST) * level) / 255);
    return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
  };
  return Uint32Array.from({ length: 256 }, (_, level) => (level === 0 ? 0 : of(level)));
}
const palettes = { light: paletteOf(false), dark: paletteOf(true) };

/** Gate weights, K / 3 times as strong: of many experts each weighs little. Without weights all marks are alike, fainter where many share a pixel. */
function paint({ trace, rows }: History, levels: Uint8ClampedArray, width: number, area: Area): void {
  const { layers, experts, topK } = trace.model;
  const { ids, weights } = trace;
  const { from, to, top, bottom, scaleX, scaleY } = area;
  const height = levels.length / width;
  const [first, last] = [Math.floor(top / experts), Math.min(layers, Math.ceil(bottom / experts))];
  const strength = weights ? 255 * Math.max(1, topK / 3) : 255 * Math.min(1, Math.max(0.3, scaleX * scaleY));
  const wide = Math.max(1, scaleX);
  for (let column = from; column < to; column++) {
    const left = Math.floor((column - from) * scaleX);
    const start = rows[column]! * layers * topK;
    for (let at = start + first * topK; at < start + last * topK; at++) {
      const id = ids[at]!;
      const row = Math.floor((at - start) / topK) * experts + id;
      if (id === ABSENT || row < top || row >= bottom) continue;
      const level = 1 + strength * (weights ? weights[at]! : 1);
      const y = Math.floor((row - top) * scaleY);
      for (let j = y; j < Math.min(height, y + Math.max(1, scaleY)); j++)
        for (let i = left; i < Math.min(width, left + wide); i++) levels[j * width + i]! += level;
    }
  }
}

/** Same tokens that took the same experts: a trace that grew is a new object, its old part is as it was. */
function looksSame(a: History, b: History, from: number, to: number): boolean {
  if (a === b) return true;
  const size = a.trace.model.layers * a.trace.model.topK;
  for (let column = from; column < to; column++) {
    const row = a.rows[column]!;
    if (b.rows[column] !== row) return false;
    for (let at = row * size; at < (row + 1) * size; at++)
      if (a.trace.ids[at] !== b.trace.ids[at] || a.trace.weights?.[at] !== b.trace.weights?.[at]) return false;
  }
  return true;
}

/** Names of layers at the left, of prompts and answers on top, and what is selected. */
function over(history: History, { selection }: Context, draw: CanvasRenderingContext2D, view: Viewport): void {
  const { x, y, scaleX, scaleY, width, height, ink } = view;
  const { trace, rows, spans } = history;
  const { layers, experts } = trace.model;
  draw.font = '11px system-ui, sans-serif';
  draw.fillStyle = ink;
  const every = Math.ceil(12 / (experts * scaleY));
  for (let layer = 0; layer < layers; layer++) {
    const top = (layer * experts - y) * scaleY;
    draw.globalAlpha = 0.25;
    if (experts * scaleY > 5) draw.fillRect(0, top, width, 0.5);
    if (layer % every === 0 && top > -12 && top < height - 10) label(draw, `L${layer}`, 1, top + 11, view);
  }
  let free = 34;
  for (const span of spans) {
    const left = (span.from - x) * scaleX;
    if ((span.to - x) * scaleX < 0 || left > width) continue;
    draw.globalAlpha = 0.6;
    if (span.from > 0) draw.fillRect(left, 0, 1, height);
    const words = spanName(trace, span);
    const wide = draw.measureText(words).width;
    const at = Math.max(left + 3, free);
    if (at + wide > Math.min(width, (span.to - x) * scaleX)) continue;
    label(draw, words, at, 11, view);
    free = at + wide + 8;
  }
  draw.globalAlpha = 1;
  draw.strokeStyle = HUES[0];
  draw.lineWidth = 2;
  const column = selection.token === null ? -1 : nearest(rows, selection.token);
  if (column >= 0) draw.strokeRect((column - x) * scaleX, 1, Math.max(2, scaleX), height - 2);
  if (selection.expert !== null)
    draw.strokeRect(0, (selection.layer * experts + selection.expert - y) * scaleY, width, Math.max(2, scaleY));
}

function label(
  draw: CanvasRenderingContext2D,
  words: string,
  x: number,
  baseline: number,
  { ink, paper }: Viewport,
): void {
  draw.globalAlpha = 0.85;
  draw.fillStyle = paper;
  draw.fillRect(x - 1, baseline - HEAD + 3, draw.measureText(words).width + 3, HEAD);
  draw.globalAlpha = 1;
  draw.fillStyle = ink;
  draw.fillText(words, x, baseline);
}

const rasters = new WeakMap<Raster, History>();

function rasterOf(history: History, context: Context): Raster {
  const { trace, rows } = history;
  const { layers, experts, name, topK } = trace.model;
  const { width, dark, brush, say, selection } = context;
  const made: Raster = {
    key: `${width} ${name} ${layers} ${experts} ${topK} ${dark} ${JSON.stringify(context.part)}`,
    columns: rows.length,
    rows: layers * experts,
    paint: (levels, across, area) => paint(history, levels, across, area),
    palette: dark ? palettes.dark : palettes.light,
    same: (from, to, earlier) => looksSame(history, rasters.get(earlier)!, from, to),
    over: (draw, view) => over(history, context, draw, view),
    width,
    height: Math.min(MOST_HEIGHT, Math.max(120, layers * experts * 8)),
    focus: selection.token === null ? null : nearest(rows, selection.token),
    follows: trace.provenance?.kind === 'live' && selection.token === null,
    point: (column, row) => say(cellWords(trace, rows[column]!, Math.floor(row / experts), row % experts)),
    select: (column, row) =>
      brush.select({ token: rows[column]!, layer: Math.floor(row / experts), expert: row % experts }),
  };
  rasters.set(made, history);
  return made;
}

function cellWords(trace: Trace, token: number, layer: number, expert: number): string {
  const found = chosenAt(trace, token, layer).find((one) => one.expert === expert);
  return `${expertName(layer, expert)}: ${found ? (found.weight === null ? 'taken' : `weight ${percent(found.weight, 0)}`) : 'not taken'}; ${routeWords(trace, token, layer)}`;
}

function keys(event: KeyboardEvent, { rows }: History, { brush, selection, trace, say, width }: Context): void {
  const canvas = (event.currentTarget as HTMLElement).querySelector('canvas')!;
  const tell = (type: typeof PAN | typeof ZOOM, detail: number): boolean =>
    canvas.dispatchEvent(new CustomEvent(type, { detail }));
  const at = selection.token === null ? -1 : nearest(rows, selection.token);
  const go = (column: number, layer = selection.layer): void => {
    const token = rows[Math.min(rows.length - 1, Math.max(0, column))]!;
    const within = Math.min(trace.model.layers - 1, Math.max(0, layer));
    brush.select({ token, layer: within });
    say(routeWords(trace, token, within));
  };
  const does: Readonly<Record<string, () => unknown>> = {
    ArrowLeft: () => (event.shiftKey ? tell(PAN, -width / 2) : go(at - 1)),
    ArrowRight: () => (event.shiftKey ? tell(PAN, width / 2) : go(at + 1)),
    ArrowUp: () => go(Math.max(0, at), selection.layer - 1),
    ArrowDown: () => go(Math.max(0, at), selection.layer + 1),
    PageUp: () => go(at - 50),
    PageDown: () => go(at + 50),
    Home: () => go(0),
    End: () => go(rows.length - 1),
    '+': () => tell(ZOOM, 1.5),
    '=': () => tell(ZOOM, 1.5),
    '-': () => tell(ZOOM, 1 / 1.5),
    Escape: () => brush.select({ token: null, expert: null }),
  };
  const act = does[event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act();
}

function figure(history: History, context: Context): TemplateResult {
  return html`<div
    class="plot"
    tabindex="0"
    role="application"
    aria-roledescription="picture of all routes"
    aria-label="All tokens by layer and expert. Arrow keys move by token and layer, with Shift they pan, plus and minus zoom."
    @keydown=${(event: KeyboardEvent) => keys(event, history, context)}
  >
    <canvas class="figure raster" ${raster(rasterOf(history, context))}></canvas>
  </div>`;
}

export const history: View<History> = {
  question: 'What happened over the whole text?',
  reading:
    'Time runs from left to right, one column a token; a row is one expert of one layer, and a mark is a token that it took, stronger where it weighed more.',
  method: [
    'Nothing is averaged: each mark is one choice. Where several cells share a pixel their weights add up; zoom in (Ctrl and wheel, pinch, plus and minus) for single ones.',
    'By chance a row has a mark in K/E of its columns, evenly over the width; long runs and gaps are what routing adds. Rows of two layers have nothing to do with each other.',
  ],
  observed: true,
  axes: ['phase', 'chat'],
  state: {},
  lacks: lacksTokens,
  compute: ({ trace, part }) => {
    const rows = rowsOf(trace, part);
    return { trace, rows, spans: spansOf(trace, rows) };
  },
  figure,
  summary: ({ trace: { model }, rows }) =>
    `${count(rows.length, 'token')} by ${count(model.layers, 'layer')} of ${model.experts} experts; by chance each row has a mark in ${percent(model.topK / model.experts)} of the columns.`,
  table: ({ trace, rows, spans }) => ({
    caption: 'Experts of each token by layer, in rank order.',
    columns: ['token', 'text', 'chat', 'phase', ...Array.from({ length: trace.model.layers }, (_, l) => `layer ${l}`)],
    rows: spans.flatMap(({ from, to, chat, phase }) =>
      Array.from(rows.subarray(from, to), (token) => [
        token,
        trace.texts?.[token] ?? null,
        chat,
        phase,
        ...Array.from({ length: trace.model.layers }, (_, layer) => chosenWords(chosenAt(trace, token, layer))),
      ]),
    ),
  }),
};
