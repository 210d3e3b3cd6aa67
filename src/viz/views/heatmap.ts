/** Load of every expert of every layer. */
import { countsOf, type LayerCounts } from '../../trace/stats/select.ts';
import { matrixView } from '../figures/matrix.ts';
import { diverging, viridis } from '../ramps.ts';
import type { View } from '../view.ts';
import { count, expertName, percent, short } from '../words.ts';

interface Heat {
  readonly counts: LayerCounts;
  /** [L, E] */
  readonly values: Float64Array;
  readonly domain: readonly [number, number];
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
  reading: 'A row is a layer, a column an expert of that layer; the colour says how often it was chosen.',
  method: [
    'Even load is T·K/E choices for T tokens that take K of E experts. The ratio is log2 of choices over even load, both with a pseudocount of one half; the z-score divides the difference by the standard deviation of uniform routing, √(T·K/E·(1 − K/E)).',
    'Expert numbers belong to their layer: column 3 of two layers are two experts that have nothing to do with each other.',
  ],
  axes: ['phase', 'chat'],
  state: { as: 'ratio' },
  controls: ({ trace }) => [
    {
      kind: 'choice',
      name: 'as',
      label: 'Show',
      options: MODES.filter(([name]) => name !== 'weight' || trace.weights),
    },
  ],
  compute: ({ trace, part, state: { as } }) => {
    const counts = countsOf(trace, part);
    const values = valuesOf(as, counts);
    const top = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
    return { counts, values, domain: isDiverging(as) ? [-top, top] : [0, top] };
  },
  figure: ({ counts, values, domain }, { state: { as }, brush, selection, width, dark, say }) =>
    matrixView({
      rows: counts.layers,
      columns: counts.experts,
      values,
      ramp: isDiverging(as) ? diverging(dark) : viridis,
      domain,
      label: 'Load by layer and expert',
      rowLabel: String,
      columnLabel: String,
      rowTitle: 'layer',
      columnTitle: 'expert of that layer',
      legend: (value) => (as === 'share' ? percent(value) : short(value)),
      describe: ({ row, column }) =>
        `${expertName(row, column)}: ${count(counts.counts[row * counts.experts + column]!, 'choice')}, ${percent(
          counts.counts[row * counts.experts + column]! / (counts.tokens * counts.topK),
        )} of the layer (even: ${percent(1 / counts.experts)})`,
      cursor: selection.expert === null ? null : { row: selection.layer, column: selection.expert },
      width,
      say,
      select: ({ row, column }) => brush.select({ layer: row, expert: column }),
    }),
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
