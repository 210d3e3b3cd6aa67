/** Experts by how busy they are. */
import { html } from 'lit';
import { loadStats, type LoadStats } from '../../trace/stats/load.ts';
import { popularityCurve, type Popularity } from '../../trace/stats/popularity.ts';
import { countsOf, type LayerCounts } from '../../trace/stats/select.ts';
import { besideChance, chanceBands, valuesOf } from '../beside-chance.ts';
import { matrixView } from '../figures/matrix.ts';
import { plotView } from '../figures/plot.ts';
import { several, widthOfEach } from '../figures/several.ts';
import { diverging } from '../ramps.ts';
import { lacksTokens } from '../lacks.ts';
import type { Context, View } from '../view.ts';
import { count, expertName, percent, percentTick, short } from '../words.ts';

const MEASURES = [
  ['gini', 'Gini'],
  ['topQuarter', 'share of the busiest quarter'],
  ['rare', 'under a tenth of an even load'],
  ['unused', 'not used at all'],
] as const;

interface PopularityState extends Readonly<Record<string, string | number>> {
  /** Of the experts, in percent. */
  readonly top: number;
  readonly measure: (typeof MEASURES)[number][0];
}

interface Profile {
  readonly counts: LayerCounts;
  readonly curves: readonly Popularity[];
  readonly stats: readonly LoadStats[];
  /** [L, E], log2 of load over an even load, by place. */
  readonly ratios: Float64Array;
}

/** An expert without load at the lower end of the ramp. */
const LEAST_RATIO = -6;

function compute({ trace, part }: Context<PopularityState>): Profile {
  const counts = countsOf(trace, part);
  const { layers, experts } = counts;
  const curves = Array.from({ length: layers }, (_, l) => popularityCurve(counts, l));
  const ratios = new Float64Array(layers * experts).fill(NaN);
  curves.forEach(({ share }, l) =>
    share.forEach((s, place) => {
      ratios[l * experts + place] = Math.max(LEAST_RATIO, Math.log2(s * share.length));
    }),
  );
  return { counts, curves, stats: curves.map((_, l) => loadStats(counts, l)), ratios };
}

const placesOf = (top: number, experts: number): number => Math.max(1, Math.ceil((experts * top) / 100));
const shareOfTop = ({ share }: Popularity, places: number): number =>
  share.subarray(0, places).reduce((a, b) => a + b, 0);
/** Of the mean by place; null without tokens. */
const chanceOfTop = ({ chance }: Popularity, places: number): number | null =>
  chance && chance.slice(0, places).reduce((a, b) => a + b.mean, 0);

function curveView({ curves }: Profile, context: Context<PopularityState>): unknown {
  const { selection, state, brush, width, say } = context;
  const { layer, expert } = selection;
  const { share, chance, order } = curves[layer]!;
  const places = placesOf(state.top, share.length);
  const at = expert === null ? -1 : order.indexOf(expert);
  return plotView({
    label: `Experts of layer ${layer} by load`,
    x: Array.from(share, (_, i) => i + 1),
    series: [{ label: 'share', y: share, as: 'bars' }],
    bands: chance ? [{ label: 'by chance', low: chance.map((c) => c.low), high: chance.map((c) => c.high) }] : [],
    marks: [{ x: places, label: `top ${state.top} %: ${percent(shareOfTop(curves[layer]!, places))}` }],
    xTitle: 'place, the busiest first',
    yTitle: 'share of the layer',
    yWords: percentTick,
    // Room for the words of the mark.
    yDomain: [0, 1.2 * (share[0] ?? 0)],
    cursor: at < 0 ? null : at,
    describe: (i) =>
      `place ${i + 1}: ${expertName(layer, order[i]!)}, ${percent(share[i]!)}${
        chance ? ` (by chance ${percent(chance[i]!.low)} to ${percent(chance[i]!.high)})` : ''
      }`,
    width: widthOfEach(width, 2),
    say,
    select: (i) => brush.select({ expert: order[i]! }),
  });
}

/** Of shares in falling order: what the least busy 0, 1, ... of them take. */
function lorenzOf(shares: readonly number[]): number[] {
  let sum = 0;
  return [0, ...shares.toReversed().map((s) => (sum += s))];
}

function lorenzView(
  { curves, stats }: Profile,
  { selection: { layer }, width, say }: Context<PopularityState>,
): unknown {
  const { lorenz, chance } = curves[layer]!;
  const n = lorenz.length - 1;
  return plotView({
    label: `Lorenz curve of layer ${layer}`,
    x: Array.from(lorenz, (_, i) => i / n),
    series: [
      { label: 'load', y: lorenz, as: 'line' },
      ...(chance
        ? [
            {
              label: 'by chance',
              y: lorenzOf(chance.map((c) => c.mean)),
              as: 'line' as const,
              dashed: true,
              colour: 'currentcolor',
            },
          ]
        : []),
    ],
    xTitle: 'share of the experts, the least busy first',
    yTitle: `Lorenz (Gini ${short(stats[layer]!.gini.value)})`,
    xWords: (x) => percent(x, 0),
    yWords: percentTick,
    describe: (i) => `the least busy ${i} of ${n} experts take ${percent(lorenz[i]!)} of the load`,
    width: widthOfEach(width, 2),
    say,
  });
}

function layersView({ counts, curves, stats, ratios }: Profile, context: Context<PopularityState>): readonly unknown[] {
  const { selection, state, brush, width, dark, say } = context;
  const [key, name] = MEASURES.find(([m]) => m === state.measure) ?? MEASURES[0];
  const measured = stats.map((s) => s[key]);
  const words = key === 'gini' ? short : (v: number): string => percent(v);
  const { layer, expert } = selection;
  return [
    matrixView({
      rows: counts.layers,
      columns: counts.experts,
      values: ratios,
      ramp: diverging(dark),
      domain: [-3, 3],
      label: 'Load by layer and place',
      rowLabel: String,
      columnLabel: (place) => String(place + 1),
      rowTitle: 'layer',
      columnTitle: 'place',
      legend: (v) => (v < 0 ? `÷${2 ** -v} of even` : `×${2 ** v}`),
      describe: ({ row, column }) =>
        `layer ${row}, place ${column + 1}: ${expertName(row, curves[row]!.order[column]!)}, ${percent(curves[row]!.share[column]!)}`,
      cursor: expert === null ? null : { row: layer, column: curves[layer]!.order.indexOf(expert) },
      width: widthOfEach(width, 2),
      maxCell: 40,
      say,
      select: ({ row, column }) => brush.select({ layer: row, expert: curves[row]!.order[column]! }),
    }),
    plotView({
      label: `${name}, by layer`,
      series: [{ label: 'measured', y: valuesOf(measured), as: measured.length > 1 ? 'line' : 'points' }],
      bands: chanceBands(measured),
      xTitle: 'layer',
      yTitle: name,
      yWords: key === 'gini' ? short : percentTick,
      cursor: layer,
      describe: (l) => `layer ${l}: ${besideChance(measured[l]!, words)}`,
      width: widthOfEach(width, 2),
      say,
      select: (l) => brush.select({ layer: l, expert: null }),
    }),
  ];
}

export const popularity: View<Profile, PopularityState> = {
  question: 'Do a few experts do most of the work?',
  reading:
    'Bars are the experts of the chosen layer, the busiest first; also among equal experts one is the busiest, so compare with the grey band.',
  method: [
    'Loads of a layer’s experts in falling order. The band of a place comes from 2,000 simulated uniform routings of as many tokens, sorted the same way (seed 1).',
    'Lorenz curve: the share of the load that the least busy share of the experts takes; on the diagonal all are equal. Gini is twice the area between the two. The matrix has every layer as a row, sorted by itself: a column is a place and no expert.',
    'Under a tenth: experts with less than 10 % of an even load.',
  ],
  axes: ['phase', 'chat', 'layer'],
  state: { top: 25, measure: 'gini' },
  heavy: true,
  controls: () => [
    { kind: 'range', name: 'top', label: 'Top', min: 5, max: 50, step: 5, format: (top) => `${top} %` },
    { kind: 'choice', name: 'measure', label: 'By layer', options: MEASURES },
  ],
  lacks: lacksTokens,
  compute,
  figure: (data, context) =>
    html`${several([curveView(data, context), lorenzView(data, context), ...layersView(data, context)], 2)}`,
  summary: ({ counts: { tokens }, curves, stats }, { selection: { layer }, state: { top } }) => {
    const curve = curves[layer]!;
    const { rare, gini } = stats[layer]!;
    const places = placesOf(top, curve.share.length);
    const chance = chanceOfTop(curve, places);
    return `${count(tokens, 'token')}; the busiest ${count(places, 'expert')} of ${curve.share.length} take ${percent(
      shareOfTop(curve, places),
    )}${chance === null ? '' : ` (by chance ${percent(chance)})`}. Gini ${besideChance(gini)}. ${count(
      Math.round(rare.value * curve.share.length),
      'expert',
    )} with under a tenth of an even load${rare.chance ? ` (by chance ${short(rare.chance.mean * curve.share.length)})` : ''}.`;
  },
  table: ({ curves }) => ({
    caption: 'Experts of each layer by load.',
    columns: ['layer', 'place', 'expert', 'share', 'by chance', 'chance from', 'chance to'],
    rows: curves.flatMap(({ order, share, chance }, layer) =>
      Array.from(share, (s, i) => [
        layer,
        i + 1,
        order[i]!,
        s,
        chance?.[i]!.mean ?? null,
        chance?.[i]!.low ?? null,
        chance?.[i]!.high ?? null,
      ]),
    ),
  }),
};
