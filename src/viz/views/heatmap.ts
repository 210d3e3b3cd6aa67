/** Load of every expert of every layer. */
import { coactivationOf, liftMatrix } from '../../trace/stats/coactivation.ts';
import { popularityCurve } from '../../trace/stats/popularity.ts';
import { countsOf, type LayerCounts } from '../../trace/stats/select.ts';
import { matrixView } from '../figures/matrix.ts';
import { chainOrder } from '../figures/order.ts';
import { diverging, viridis } from '../ramps.ts';
import type { Context, View } from '../view.ts';
import { count, expertName, percent, short, timesWords } from '../words.ts';

export interface Heat {
  readonly counts: LayerCounts;
  /** [L, E] */
  readonly values: Float64Array;
  readonly domain: readonly [number, number];
  /** Experts of each layer by their place in its row. */
  readonly order: readonly ArrayLike<number>[];
  /** `values` in that order. */
  readonly placed: Float64Array;
}

const MODES = [
  ['ratio', 'against an even load (log2)'],
  ['z', 'against chance (standard deviations)'],
  ['share', 'share of the layer’s choices'],
  ['count', 'choices'],
  ['weight', 'sum of gate weights'],
] as const;
type Mode = (typeof MODES)[number][0];

interface HeatState extends Readonly<Record<string, string>> {
  readonly as: Mode;
  readonly order: 'id' | 'load' | 'cluster';
}

const ORDERS = [
  ['id', 'number'],
  ['load', 'load'],
  ['cluster', 'who works together'],
] as const;

function orderOf(
  { trace, part, state: { order } }: Context<HeatState>,
  counts: LayerCounts,
  layer: number,
): ArrayLike<number> {
  if (order === 'load') return popularityCurve(counts, layer).order;
  if (order === 'cluster') return chainOrder(liftMatrix(coactivationOf(trace, layer, part)), counts.experts);
  return Array.from({ length: counts.experts }, (_, e) => e);
}

/** A pseudocount of one half keeps experts that nobody chose on the scale. */
const PSEUDOCOUNT = 0.5;

function valuesOf(as: Mode, { counts, weights, layers, experts, topK, tokens }: LayerCounts): Float64Array {
  const even = (tokens * topK) / experts;
  const deviation = Math.sqrt(even * (1 - topK / experts)) || 1;
  const of: Readonly<Record<Mode, (i: number) => number>> = {
    ratio: (i) => Math.log2((counts[i]! + PSEUDOCOUNT) / (even + PSEUDOCOUNT)),
    z: (i) => (counts[i]! - even) / deviation,
    share: (i) => counts[i]! / (tokens * topK),
    count: (i) => counts[i]!,
    weight: (i) => weights?.[i] ?? NaN,
  };
  return Float64Array.from({ length: layers * experts }, (_, i) => of[as](i));
}

const isDiverging = (as: Mode): boolean => as === 'ratio' || as === 'z';

export const heatmap: View<Heat, HeatState> = {
  question: 'Who is busy?',
  reading:
    'A row is a layer, a column an expert of that layer; the colour says how often it was chosen, against an even load orange for more and blue for less.',
  method: [
    'Even load is T·K/E choices for T tokens that take K of E experts. The ratio is log2 of choices over even load, both with a pseudocount of one half; the z-score divides the difference by the standard deviation of uniform routing, √(T·K/E·(1 − K/E)).',
    'Expert numbers belong to their layer: column 3 of two layers are two experts that have nothing to do with each other. Sorted by load or by who works together, each row has an order of its own, and a column is a place.',
  ],
  axes: ['phase', 'chat'],
  state: { as: 'ratio', order: 'id' },
  controls: ({ trace }) => [
    {
      kind: 'choice',
      name: 'as',
      label: 'Show',
      options: MODES.filter(([name]) => name !== 'weight' || trace.weights),
    },
    { kind: 'choice', name: 'order', label: 'Order', options: ORDERS },
  ],
  compute: (context) => {
    const { trace, part, state } = context;
    const counts = countsOf(trace, part);
    const { layers, experts } = counts;
    const values = valuesOf(state.as, counts);
    const top = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
    const order = Array.from({ length: layers }, (_, l) => orderOf(context, counts, l));
    const placed = values.map((_, i) => values[i - (i % experts) + order[Math.floor(i / experts)]![i % experts]!]!);
    return { counts, values, domain: isDiverging(state.as) ? [-top, top] : [0, top], order, placed };
  },
  figure: ({ counts, order, placed, domain }, { state, brush, selection, width, dark, say }) => {
    const { layer, expert } = selection;
    const at = (row: number, column: number): number => order[row]![column]!;
    const chosen = (row: number, column: number): number => counts.counts[row * counts.experts + at(row, column)]!;
    return matrixView({
      rows: counts.layers,
      columns: counts.experts,
      values: placed,
      ramp: isDiverging(state.as) ? diverging(dark) : viridis,
      domain,
      label: 'Load by layer and expert',
      rowLabel: String,
      columnLabel: (column) => String(state.order === 'id' ? column : column + 1),
      rowTitle: 'layer',
      columnTitle: state.order === 'id' ? 'expert of that layer' : 'place in that layer',
      legend: (value) =>
        state.as === 'share' ? percent(value) : state.as === 'ratio' ? timesWords(value) : short(value),
      describe: ({ row, column }) =>
        `${expertName(row, at(row, column))}: ${count(chosen(row, column), 'choice')}, ${percent(
          chosen(row, column) / (counts.tokens * counts.topK),
        )} of the layer (even: ${percent(1 / counts.experts)})`,
      cursor: expert === null ? null : { row: layer, column: Array.from(order[layer]!).indexOf(expert) },
      width,
      say,
      select: ({ row, column }) => brush.select({ layer: row, expert: at(row, column) }),
    });
  },
  summary: ({ counts: { tokens, topK, experts } }) =>
    `${count(tokens, 'token')}, ${topK} of ${experts} experts each; an even load is ${short((tokens * topK) / experts)} choices, and chance alone moves it by ±${short(
      1.96 * Math.sqrt(((tokens * topK) / experts) * (1 - topK / experts)),
    )} in 95 of 100 experts.`,
  table: ({ counts, values }, { state: { as } }) => ({
    caption: 'Choices of each expert.',
    columns: ['layer', 'expert', 'choices', MODES.find(([name]) => name === as)![1]],
    rows: Array.from(counts.counts, (n, i) => [Math.floor(i / counts.experts), i % counts.experts, n, values[i]!]),
  }),
};
