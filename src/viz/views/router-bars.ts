/** One decision of one router: every expert's probability, and where the cut went through. */
import { gateOf, type Gate } from '../../trace/stats/gate.ts';
import { probabilitiesAt } from '../../trace/stats/probabilities.ts';
import { plotView, type Series } from '../figures/plot.ts';
import { lacksTokens } from '../lacks.ts';
import { hue } from '../ramps.ts';
import { chosenAt, tokenIn, tokenLabel, type Chosen } from '../route.ts';
import type { View } from '../view.ts';
import { expertName, percent, percentTick, short } from '../words.ts';

interface Bars {
  readonly token: number;
  readonly layer: number;
  readonly experts: number;
  readonly chosen: readonly Chosen[];
  /** Normalised entropy and margin, where probabilities are known. */
  readonly gate: Gate;
  /** [E]; null: only gate weights are known. */
  readonly probs: Float64Array | null;
  /** Experts as drawn. */
  readonly order: readonly number[];
}

interface BarsState extends Readonly<Record<string, string>> {
  readonly order: 'probability' | 'number';
}

/** More than the chosen ones are not known without logits. */
function orderOf(by: BarsState['order'], chosen: readonly Chosen[], probs: Float64Array | null): number[] {
  const experts = probs ? Array.from(probs.keys()) : chosen.map(({ expert }) => expert);
  if (by === 'number') return experts.sort((a, b) => a - b);
  return probs ? experts.sort((a, b) => probs[b]! - probs[a]! || a - b) : experts;
}

const valueOf = ({ probs, chosen }: Bars, expert: number): number =>
  probs ? probs[expert]! : (chosen.find((one) => one.expert === expert)?.weight ?? NaN);

const isChosen = ({ chosen }: Bars, expert: number): boolean => chosen.some((one) => one.expert === expert);

/** Least of the chosen, greatest of the rest. */
function cutOf(bars: Bars): { readonly last: number; readonly next: number } | null {
  const { probs, chosen, experts } = bars;
  if (!probs || chosen.length === 0 || chosen.length === experts) return null;
  const byProb = (a: number, b: number): number => probs[a]! - probs[b]!;
  const last = chosen.map(({ expert }) => expert).sort(byProb)[0]!;
  const next = Array.from(probs.keys())
    .filter((e) => !isChosen(bars, e))
    .sort(byProb)
    .at(-1)!;
  return { last, next };
}

function describe(bars: Bars, index: number): string {
  const expert = bars.order[index]!;
  const rank = bars.chosen.findIndex((one) => one.expert === expert);
  const weight = bars.chosen[rank]?.weight;
  return `${expertName(bars.layer, expert)}: ${bars.probs ? `probability ${percent(bars.probs[expert]!)}, ` : ''}${
    rank < 0
      ? 'not chosen'
      : `chosen as number ${rank + 1}${weight === undefined || weight === null ? '' : `, gate weight ${short(weight)}`}`
  }${cutOf(bars)?.next === expert ? ', the runner-up' : ''}`;
}

function seriesOf(bars: Bars): Series[] {
  const { order, probs, experts } = bars;
  const of = (chosen: boolean): number[] => order.map((e) => (isChosen(bars, e) === chosen ? valueOf(bars, e) : NaN));
  const taken: Series = { label: 'chosen', y: of(true), as: 'bars' };
  if (!probs) return [taken];
  return [
    taken,
    { label: 'not chosen', y: of(false), as: 'bars', colour: hue(7) },
    { label: 'all alike', y: order.map(() => 1 / experts), as: 'line', colour: hue(5), dashed: true },
  ];
}

function summary(bars: Bars, label: string): string {
  const { probs, experts, chosen, gate } = bars;
  const margin = gate.margin?.[0] ?? NaN;
  const k = chosen.length;
  // Sigmoid routers give weights that do not add up to 1.
  const sum = chosen.reduce((all, { weight }) => all + (weight ?? 0), 0);
  if (!probs)
    return `${label}: gate weights of its ${k} experts only; they add up to ${short(sum)}, ${short(sum / Math.max(1, k))} each if all were alike. The other ${experts - k} are not in this trace: record it with \`webmoe trace record --logits\`.`;
  const cut = cutOf(bars);
  const entropy = `Normalised entropy ${short(gate.entropy?.[0] ?? NaN)} (1: all ${experts} alike, ${percent(1 / experts)} each)`;
  if (!cut) return `${label}. ${entropy}; nothing was cut off.`;
  const beside =
    margin < 0
      ? ' Something beside these probabilities chose: a bias for selection, ties between groups, or an intervention.'
      : '';
  return `${label}. ${entropy}; margin between E${cut.last}, the last in, and E${cut.next}, the runner-up: ${percent(margin, 2)} (0 where all are alike). n = 1 choice of ${k}.${beside}`;
}

export const routerBars: View<Bars, BarsState> = {
  question: 'How close was this choice?',
  reading:
    'Each bar is an expert’s probability for this token in this layer; the line is the cut: what is left of it was taken, and a small step across it means a close choice. A router that adds a bias when it chooses can take an expert beyond the line.',
  method: [
    'Probabilities are the softmax of the router’s logits, or for sigmoid routers s / Σs. Normalised entropy is H(p) / ln E. The margin is p of the last expert in less p of the first one out; where a router adds a bias for selection alone (DeepSeek-V3, arXiv 2412.19437, section 2.1.2), logits are given with it.',
    'A router without preference gives every expert 1/E: entropy 1, margin 0. Small margins mark tokens that other routes may serve as well; only trying them shows it.',
  ],
  observed: true,
  perToken: true,
  axes: ['phase', 'chat', 'layer', 'token'],
  state: { order: 'probability' },
  controls: () => [
    {
      kind: 'choice',
      name: 'order',
      label: 'Order',
      options: [
        ['probability', 'by probability'],
        ['number', 'by number'],
      ],
    },
  ],
  lacks: (trace, context) =>
    lacksTokens(trace, context) ??
    (trace.weights || (trace.logits && trace.scoring)
      ? null
      : 'This trace has neither router logits nor gate weights. Record it with `webmoe trace record --logits`, or let a model answer here with routing at level “logits”.'),
  compute: ({ trace, part, selection, state }) => {
    const token = tokenIn(trace, part, selection.token)!;
    const { layer } = selection;
    const chosen = chosenAt(trace, token, layer);
    const all = new Float64Array(trace.model.experts);
    const probs = probabilitiesAt(trace, token, layer, all) ? all : null;
    const gate = gateOf(trace, layer, { from: token, to: token + 1 });
    return { gate, token, layer, experts: all.length, chosen, probs, order: orderOf(state.order, chosen, probs) };
  },
  figure: (bars, { trace, state, brush, selection, width, say }) => {
    const { order, chosen, layer } = bars;
    const cut =
      state.order === 'probability' && bars.probs && chosen.length < order.length
        ? [{ x: chosen.length - 0.5, label: 'cut' }]
        : [];
    const cursor = selection.expert === null ? -1 : order.indexOf(selection.expert);
    return plotView({
      label: `Router of layer ${layer} for ${tokenLabel(trace, bars.token)}`,
      series: seriesOf(bars),
      marks: cut,
      xTitle: `expert of layer ${layer}`,
      yTitle: bars.probs ? 'probability' : 'gate weight',
      xWords: (i) => `E${order[i] ?? ''}`,
      yWords: bars.probs ? percentTick : short,
      cursor: cursor < 0 ? null : cursor,
      describe: (index) => describe(bars, index),
      width,
      height: 240,
      say,
      select: (index) => brush.select({ expert: order[index]! }),
    });
  },
  summary: (bars, { trace }) =>
    summary(bars, `Token ${bars.token} ${tokenLabel(trace, bars.token)}, layer ${bars.layer}`),
  table: (bars) => ({
    caption: `Router of layer ${bars.layer} for token ${bars.token}.`,
    columns: ['expert', 'probability', 'all alike', 'rank', 'gate weight'],
    rows: bars.order.map((expert) => {
      const rank = bars.chosen.findIndex((one) => one.expert === expert);
      return [
        expertName(bars.layer, expert),
        bars.probs?.[expert] ?? null,
        1 / bars.experts,
        rank < 0 ? null : rank + 1,
        bars.chosen[rank]?.weight ?? null,
      ];
    }),
  }),
};
