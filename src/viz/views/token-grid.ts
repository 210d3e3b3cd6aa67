/** The way of one token through all layers, and of a second one to compare; it plays through the text like a film. */
import { OverlapMeter, type Overlap } from '../../trace/stats/overlap.ts';
import { rowsOf, takenAt } from '../../trace/stats/select.ts';
import type { Trace } from '../../trace/trace.ts';
import type { Brush } from '../brush.ts';
import { matrixView, type Matrix } from '../figures/matrix.ts';
import { lacksTokens } from '../lacks.ts';
import { heat, hue } from '../ramps.ts';
import { chosenAt, nearest, routeWords, tokenLabel, type Chosen } from '../route.ts';
import type { Context, View } from '../view.ts';
import { bandWords, count, expertName, percent, short } from '../words.ts';

interface GridState extends Readonly<Record<string, string | number | boolean>> {
  readonly by: string;
  /** Steps a second. */
  readonly speed: number;
  readonly play: boolean;
}
interface Grid {
  readonly rows: Uint32Array;
}
type GridContext = Context<GridState>;

/** The selected token, if the part has it; without a selection the last one, which follows a model that answers. */
const current = ({ rows }: Grid, { selection: { token } }: GridContext): number =>
  token === null ? rows[rows.length - 1]! : rows[nearest(rows, token)]!;

function toToken(grid: Grid, context: GridContext, by: number, layer = context.selection.layer): boolean {
  const token = grid.rows[nearest(grid.rows, current(grid, context)) + by];
  if (token !== undefined) context.brush.select({ token, layer });
  return token !== undefined;
}

function toLayer(grid: Grid, context: GridContext, by: number): boolean {
  const layer = context.selection.layer + by;
  const inside = layer >= 0 && layer < context.trace.model.layers;
  if (inside) context.brush.select({ token: current(grid, context), layer });
  return inside;
}

/** Layer by layer, at the last one on to the next token. */
const forward = (grid: Grid, context: GridContext): boolean =>
  context.state.by === 'layer' ? toLayer(grid, context, 1) || toToken(grid, context, 1, 0) : toToken(grid, context, 1);

/** What plays now, by brush: a step changes the brush, which draws the figure, which asks for the next step. A view that left the page asks no more. */
const playing = new WeakMap<Brush, { grid: Grid; context: GridContext; waits: boolean }>();

function keepPlaying(grid: Grid, context: GridContext): void {
  const run = playing.get(context.brush) ?? { grid, context, waits: false };
  Object.assign(run, { grid, context });
  playing.set(context.brush, run);
  if (!context.state.play || !context.motion || run.waits) return;
  run.waits = true;
  setTimeout(() => {
    run.waits = false;
    if (run.context.state.play && !forward(run.grid, run.context)) run.context.set({ play: false });
  }, 1000 / context.state.speed);
}

const weightOf = ({ weight }: Chosen, chosen: readonly Chosen[]): number => weight ?? 1 / chosen.length;

/** [L, E], up to the current layer when it goes layer by layer. */
function valuesOf(trace: Trace, token: number, until: number): Float64Array {
  const { layers, experts } = trace.model;
  const values = new Float64Array(layers * experts);
  for (let layer = 0; layer < layers; layer++) {
    const chosen = layer <= until ? chosenAt(trace, token, layer) : [];
    if (chosen.length === 0) values.fill(NaN, layer * experts, (layer + 1) * experts);
    for (const one of chosen) values[layer * experts + one.expert] = weightOf(one, chosen);
  }
  return values;
}

/** Of a token's weight in the layer: sigmoid routers give weights that do not add up to 1. */
const shareOf = (one: Chosen, chosen: readonly Chosen[]): number =>
  weightOf(one, chosen) / chosen.reduce((sum, other) => sum + weightOf(other, chosen), 0);

/** Beside the line through the first experts, pairs whose shares of the weight multiply to this much. */
const SHOWN_LINK = 0.1;

/** Between the experts of neighbouring layers, down to layer `until`. */
export function linksOf(
  trace: Trace,
  token: number,
  until: number,
  colour: string,
  dashed: boolean,
): NonNullable<Matrix['links']> {
  return Array.from({ length: Math.min(until, trace.model.layers - 1) }, (_, row) => {
    const [above, below] = [chosenAt(trace, token, row), chosenAt(trace, token, row + 1)];
    return above.flatMap((a, i) =>
      below.flatMap((b, j) => {
        const product = shareOf(a, above) * shareOf(b, below);
        const weight = Math.sqrt(product);
        if (i + j > 0 && (dashed || product < SHOWN_LINK)) return [];
        return [{ from: { row, column: a.expert }, to: { row: row + 1, column: b.expert }, weight, colour, dashed }];
      }),
    );
  }).flat();
}

/** Of two tokens, over the layers. */
function overlapOf(trace: Trace, a: number, b: number): Overlap {
  const { layers, topK, experts } = trace.model;
  const meter = new OverlapMeter(experts);
  for (let layer = 0; layer < layers; layer++) {
    const [atA, atB] = [(a * layers + layer) * topK, (b * layers + layer) * topK];
    meter.add(trace.ids, atA, atA + takenAt(trace, atA), trace.ids, atB, atB + takenAt(trace, atB));
  }
  return meter.result();
}

function press(event: KeyboardEvent, grid: Grid, context: GridContext): boolean {
  const { state, motion, brush, selection } = context;
  const does: Readonly<Record<string, () => unknown>> = {
    ' ': () => (motion ? context.set({ play: !state.play }) : forward(grid, context)),
    ArrowLeft: () => toToken(grid, context, -1),
    ArrowRight: () => toToken(grid, context, 1),
    ArrowUp: () => toLayer(grid, context, -1),
    ArrowDown: () => toLayer(grid, context, 1),
    p: () => brush.select({ pinned: selection.pinned === null ? current(grid, context) : null }),
    Escape: () => brush.select({ token: null }),
  };
  const act = does[event.key];
  if (!act || event.shiftKey || event.ctrlKey || event.metaKey || event.altKey) return false;
  event.preventDefault();
  act();
  const now = brush.selection;
  context.say(routeWords(context.trace, now.token ?? grid.rows[grid.rows.length - 1]!, now.layer));
  return true;
}

function matrixOf(grid: Grid, context: GridContext): Matrix {
  const { trace, selection, state, brush, width, dark, say } = context;
  const { layers, experts } = trace.model;
  const token = current(grid, context);
  const until = state.by === 'layer' ? selection.layer : layers - 1;
  const { pinned } = selection;
  const values = valuesOf(trace, token, until);
  return {
    rows: layers,
    columns: experts,
    values,
    ramp: heat(dark),
    domain: [0, values.reduce((most, value) => Math.max(most, value || 0), 0) || 1],
    label: `Experts of ${tokenLabel(trace, token)} by layer`,
    rowLabel: String,
    columnLabel: String,
    rowTitle: 'layer',
    columnTitle: 'expert of that layer',
    legend: (value) => (trace.weights ? `weight ${short(value)}` : value ? 'taken' : 'not'),
    describe: ({ row }) => routeWords(trace, token, row),
    links: [
      ...linksOf(trace, token, until, dark ? '#ffffff' : '#1d1c1a', false),
      ...(pinned === null ? [] : linksOf(trace, pinned, until, hue(4), true)),
    ],
    marked:
      pinned === null
        ? []
        : Array.from({ length: until + 1 }, (_, row) =>
            chosenAt(trace, pinned, row).map(({ expert, weight }) => ({
              row,
              column: expert,
              weight: (weight ?? 0) / 2,
            })),
          ).flat(),
    cursor: {
      row: selection.layer,
      column: selection.expert ?? chosenAt(trace, token, selection.layer)[0]?.expert ?? 0,
    },
    width,
    maxCell: 34,
    keys: {
      hint: 'Left and right arrow keys go from token to token, up and down from layer to layer, Space plays, P pins, Escape goes to the end. With Shift arrows move from cell to cell.',
      press: (event) => press(event, grid, context),
    },
    say,
    select: ({ row, column }) => brush.select({ layer: row, expert: column }),
  };
}

export const tokenGrid: View<Grid, GridState> = {
  question: 'Which experts took this token?',
  reading:
    'From top to bottom the token passes the layers; a coloured cell is an expert that took it, the line joins the experts that counted most and is thicker where they counted more.',
  method: [
    'Colour is the gate weight. The line goes through the first expert of each layer; a thinner one joins any two experts of neighbouring layers whose shares of the token’s weight multiply to at least 0.1. Experts side by side are not alike: a number means nothing in another layer.',
    'A pinned token is drawn with outlines and a dashed line. The overlap is the share of its experts that the other token took, too, over all layers; by chance it is K/E.',
  ],
  observed: true,
  axes: ['phase', 'chat', 'token'],
  state: { by: 'token', speed: 4, play: false },
  lacks: lacksTokens,
  controls: (context) => [
    {
      kind: 'choice',
      name: 'by',
      label: 'Step by',
      options: [
        ['token', 'token'],
        ['layer', 'layer'],
      ],
    },
    ...(context.motion
      ? ([
          { kind: 'toggle', name: 'play', label: 'Play' },
          { kind: 'range', name: 'speed', label: 'Speed', min: 1, max: 20, step: 1, format: (n: number) => `${n}/s` },
        ] as const)
      : []),
    {
      kind: 'action',
      label: 'Step',
      run: () => forward({ rows: rowsOf(context.trace, context.part) }, context),
    },
    {
      kind: 'action',
      label: context.selection.pinned === null ? 'Pin' : 'Let go',
      run: () =>
        context.brush.select({
          pinned:
            context.selection.pinned === null ? current({ rows: rowsOf(context.trace, context.part) }, context) : null,
        }),
    },
  ],
  compute: ({ trace, part }) => ({ rows: rowsOf(trace, part) }),
  leave: (brush) => playing.delete(brush),
  figure: (grid, context) => {
    keepPlaying(grid, context);
    return matrixView(matrixOf(grid, context));
  },
  summary: (grid, context) => {
    const { trace, selection } = context;
    const { experts, topK, layers } = trace.model;
    const token = current(grid, context);
    const here = `Token ${token} ${tokenLabel(trace, token)} of ${count(grid.rows.length, 'token')}, ${count(layers, 'layer')}; by chance an expert takes ${percent(topK / experts)} of the tokens.`;
    if (selection.pinned === null) return `${here} Pin a token (P) to compare another with it.`;
    const { overlap } = overlapOf(trace, selection.pinned, token);
    return `${here} With the pinned token ${selection.pinned} ${tokenLabel(trace, selection.pinned)} it shares ${percent(overlap.value)} of its experts (chance: ${bandWords(overlap.chance)}; n = ${count(overlap.n, 'layer')}).`;
  },
  table: (grid, context) => {
    const { trace, selection } = context;
    const token = current(grid, context);
    const tokens = selection.pinned === null ? [token] : [token, selection.pinned];
    return {
      caption: `Experts by layer of ${tokens.map((t) => `token ${t}`).join(' and ')}.`,
      columns: ['token', 'text', 'layer', 'rank', 'expert', 'gate weight'],
      rows: tokens.flatMap((t) =>
        Array.from({ length: trace.model.layers }, (_, layer) =>
          chosenAt(trace, t, layer).map(({ expert, weight }, rank) => [
            t,
            trace.texts?.[t] ?? null,
            layer,
            rank + 1,
            expertName(layer, expert),
            weight,
          ]),
        ).flat(),
      ),
    };
  },
};
