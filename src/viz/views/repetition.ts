/** Whether neighbouring tokens share experts, and how soon an expert is needed again. */
import { html } from 'lit';
import { repetitionOf, type Repetition } from '../../trace/stats/repetition.ts';
import { reuseOf, type Reuse } from '../../trace/stats/reuse.ts';
import { besideChance, chanceBands, chanceCells, valuesOf } from '../beside-chance.ts';
import { plotView } from '../figures/plot.ts';
import { several, widthOfEach } from '../figures/several.ts';
import { lacksTokens } from '../lacks.ts';
import type { Context, View } from '../view.ts';
import { count, percent, percentTick } from '../words.ts';

const MEASURES = [
  ['overlap', 'experts in common'],
  ['sameTop', 'same first expert'],
  ['any', 'at least one in common'],
  ['jaccard', 'Jaccard index'],
] as const;
type Measure = (typeof MEASURES)[number][0];

interface RepetitionState extends Readonly<Record<string, string>> {
  readonly measure: Measure;
}

interface Repeats {
  readonly lags: readonly Repetition[];
  /** At lag 1. */
  readonly layers: readonly Repetition[];
  readonly reuse: Reuse;
}

const LAGS = Array.from({ length: 16 }, (_, i) => i + 1);
/** Gaps beyond are one bar. */
const GAPS = 32;

const compute = ({ trace, part, selection: { layer } }: Context<RepetitionState>): Repeats => ({
  lags: repetitionOf(trace, layer, part, LAGS),
  layers: Array.from({ length: trace.model.layers }, (_, l) => repetitionOf(trace, l, part)[0]!),
  reuse: reuseOf(trace, layer, part),
});

const nameOf = (measure: Measure): string => MEASURES.find(([m]) => m === measure)?.[1] ?? MEASURES[0][1];
const measureOf = ({ measure }: RepetitionState): Measure => MEASURES.find(([m]) => m === measure)?.[0] ?? 'overlap';

/** Needs by tokens since the last use, the last for more; uniform routing gives (k / E)(1 - k / E)^(g - 1) of them. */
function gapShares({ gaps }: Reuse, rate: number): { readonly share: number[]; readonly chance: number[] } {
  const total = Math.max(
    1,
    gaps.reduce((a, b) => a + b, 0),
  );
  const share = Array.from({ length: GAPS }, (_, i) => (gaps[i + 1] ?? 0) / total);
  share.push(gaps.subarray(GAPS + 1).reduce((a, b) => a + b, 0) / total);
  const chance = Array.from({ length: GAPS }, (_, i) => rate * (1 - rate) ** i);
  chance.push((1 - rate) ** GAPS);
  return { share, chance };
}

function figures({ lags, layers, reuse }: Repeats, context: Context<RepetitionState>): readonly unknown[] {
  const { trace, selection, state, brush, width, say } = context;
  const { layer } = selection;
  const key = measureOf(state);
  const name = nameOf(key);
  const each = widthOfEach(width, 2);
  const byLag = lags.map((r) => r[key]);
  const byLayer = layers.map((r) => r[key]);
  const { topK, experts } = trace.model;
  const { share, chance } = gapShares(reuse, topK / experts);
  const within = reuse.within.map((w) => w.share);
  return [
    plotView({
      label: `${name}, by distance of the two tokens, layer ${layer}`,
      x: LAGS,
      series: [{ label: 'measured', y: valuesOf(byLag), as: 'line' }],
      bands: chanceBands(byLag),
      xTitle: 'tokens apart',
      yTitle: `${name}, layer ${layer}`,
      yWords: percentTick,
      describe: (i) => `${LAGS[i]!} apart: ${besideChance(byLag[i]!, percent)} of ${count(byLag[i]!.n, 'pair')}`,
      width: each,
      say,
    }),
    plotView({
      label: `${name} with the token before, by layer`,
      series: [{ label: 'measured', y: valuesOf(byLayer), as: byLayer.length > 1 ? 'line' : 'points' }],
      bands: chanceBands(byLayer),
      xTitle: 'layer',
      yTitle: 'with the token before',
      yWords: percentTick,
      cursor: layer,
      describe: (l) => `layer ${l}: ${besideChance(byLayer[l]!, percent)}`,
      width: each,
      say,
      select: (l) => brush.select({ layer: l, expert: null }),
    }),
    plotView({
      label: `Tokens until an expert of layer ${layer} is needed again`,
      x: share.map((_, i) => i + 1),
      series: [
        { label: 'needs', y: share, as: 'bars' },
        { label: 'by chance', y: chance, as: 'line', dashed: true, colour: 'currentcolor' },
      ],
      xTitle: `tokens since its last use (last: more than ${GAPS})`,
      yTitle: 'needed again after',
      yWords: percentTick,
      describe: (i) =>
        `${i < GAPS ? `after ${count(i + 1, 'token')}` : `after more than ${GAPS}`}: ${percent(share[i]!)} of the needs (by chance ${percent(chance[i]!)})`,
      width: each,
      say,
    }),
    plotView({
      label: `Experts of layer ${layer} that one of the tokens before used`,
      x: reuse.within.map((w) => Math.log2(w.span)),
      series: [{ label: 'measured', y: valuesOf(within), as: 'line' }],
      bands: chanceBands(within),
      xTitle: 'tokens before',
      yTitle: 'needs that were used within',
      xWords: (x) => String(2 ** x),
      yWords: percentTick,
      describe: (i) =>
        `within ${count(reuse.within[i]!.span, 'token')} before: ${besideChance(within[i]!, percent)} of ${count(within[i]!.n, 'need')}`,
      width: each,
      say,
    }),
  ];
}

export const repetition: View<Repeats, RepetitionState> = {
  question: 'Does the next token take the same experts?',
  reading:
    'Above the grey band, neighbouring tokens share experts more than chance: what a cache of experts lives on. The lower figures ask how soon an expert is needed again.',
  method: [
    'Each token against the one before it (or n before), in the same chat. Experts in common: |A ∩ B|/K, by chance K/E. Same first expert: by chance 1/E. At least one: by chance 1 − C(E − K, K)/C(E, K), 46 % for 2 of 8. Jaccard: |A ∩ B|/|A ∪ B|. Mixtral (arXiv 2401.04088, table 5) reports the first and the third.',
    'Needed again: needs of an expert by the number of tokens since its last use in the layer; uniform routing gives (K/E)(1 − K/E)^(g − 1). Used within g tokens: by chance 1 − (1 − K/E)^g, the band simulated (seed 1). Chats follow each other, as in a cache that stays.',
  ],
  observed: true,
  axes: ['phase', 'chat', 'layer'],
  state: { measure: 'overlap' },
  heavy: true,
  controls: () => [{ kind: 'choice', name: 'measure', label: 'Show', options: MEASURES }],
  lacks: lacksTokens,
  compute,
  figure: (data, context) => html`${several(figures(data, context), 2)}`,
  summary: ({ lags }, { selection: { layer }, state }) => {
    const m = lags[0]![measureOf(state)];
    return `${count(m.n, 'pair')} of neighbouring tokens in layer ${layer}: ${nameOf(measureOf(state))} ${besideChance(m, percent)}.`;
  },
  table: ({ lags, layers, reuse }, { selection: { layer } }) => ({
    caption: 'Agreement of two tokens, and how soon experts are needed again.',
    columns: ['what', 'layer', 'tokens apart', 'value', 'by chance', 'chance from', 'chance to', 'n'],
    rows: [
      ...MEASURES.flatMap(([key, name]) => [
        ...lags.map((r) => [name, layer, r.lag, ...chanceCells(r[key]), r[key].n]),
        ...layers.map((r, l) => [name, l, 1, ...chanceCells(r[key]), r[key].n]),
      ]),
      ...reuse.within.map(({ span, share }) => ['used within', layer, span, ...chanceCells(share), share.n]),
      ...Array.from(reuse.gaps, (n, gap) => ['needs again after', layer, gap, n, null, null, null, n]).slice(1),
    ],
  }),
};
