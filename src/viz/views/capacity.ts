/** What a capacity limit would drop. A simulation: the models here drop nothing. */
import { html, nothing } from 'lit';
import { dropTokens, overflowOf, type Dropped } from '../../trace/stats/capacity.ts';
import type { Measured } from '../../trace/stats/chance.ts';
import { countsOf } from '../../trace/stats/select.ts';
import { besideChance, chanceBands, chanceCells, valuesOf } from '../beside-chance.ts';
import { plotView } from '../figures/plot.ts';
import { several, widthOfEach } from '../figures/several.ts';
import { lacksTokens } from '../lacks.ts';
import type { Context, View } from '../view.ts';
import { count, percent, percentTick, short } from '../words.ts';

interface CapacityState extends Readonly<Record<string, string | number>> {
  readonly factor: number;
  readonly order: 'position' | 'gate';
}

interface Overflow {
  /** At the factor chosen, of each layer. */
  readonly layers: readonly Measured[];
  /** At each factor, of the layer chosen. */
  readonly factors: readonly Measured[];
  readonly dropped: Dropped;
  /** Tokens of which at least one choice is dropped, with how many. */
  readonly hit: ReadonlyMap<number, number>;
}

const FROM = 0.5;
const TO = 4;
const STEP = 0.25;
const FACTORS = Array.from({ length: (TO - FROM) / STEP + 1 }, (_, i) => FROM + i * STEP);

function compute({
  trace,
  part,
  selection: { layer },
  state: { factor, order },
  brush,
}: Context<CapacityState>): Overflow {
  const counts = countsOf(trace, part);
  const dropped = dropTokens(trace, layer, { factor, order, part });
  const hit = new Map<number, number>();
  const { topK } = trace.model;
  dropped.rows.forEach((row, r) => {
    const n = dropped.dropped.subarray(r * topK, (r + 1) * topK).reduce((a, b) => a + b, 0);
    if (n > 0) hit.set(row, n);
  });
  brush.dropped = new Set(hit.keys());
  return {
    layers: Array.from({ length: counts.layers }, (_, l) => overflowOf(counts, l, factor)),
    factors: FACTORS.map((f) => overflowOf(counts, layer, f)),
    dropped,
    hit,
  };
}

function plots({ layers, factors }: Overflow, context: Context<CapacityState>): unknown {
  const { selection, state, brush, width, say, set } = context;
  const each = widthOfEach(width, 2);
  return several(
    [
      plotView({
        label: `Overflow by layer at a capacity factor of ${state.factor}`,
        series: [{ label: 'would drop', y: valuesOf(layers), as: layers.length > 1 ? 'line' : 'points' }],
        bands: chanceBands(layers),
        xTitle: 'layer',
        yTitle: `dropped at ×${state.factor}`,
        yWords: percentTick,
        cursor: selection.layer,
        describe: (l) => `layer ${l}: ${besideChance(layers[l]!, percent)} of the choices would drop`,
        width: each,
        say,
        select: (layer) => brush.select({ layer, expert: null }),
      }),
      plotView({
        label: `Overflow of layer ${selection.layer} by capacity factor`,
        x: FACTORS,
        series: [{ label: 'would drop', y: valuesOf(factors), as: 'line' }],
        bands: chanceBands(factors),
        xTitle: 'capacity factor',
        yTitle: `dropped in layer ${selection.layer}`,
        yWords: percentTick,
        cursor: FACTORS.indexOf(state.factor),
        describe: (i) => `factor ${FACTORS[i]!}: ${besideChance(factors[i]!, percent)} of the choices would drop`,
        width: each,
        say,
        select: (i) => set({ factor: FACTORS[i]! }),
      }),
    ],
    2,
  );
}

/** Enough to see what kind of tokens it hits; the text view strikes through all of them. */
const SHOWN = 160;

function textView({ dropped: { rows }, hit }: Overflow, { trace: { texts, model } }: Context<CapacityState>): unknown {
  if (!texts) return nothing;
  const pieces = Array.from(rows.subarray(0, SHOWN), (row) => {
    const n = hit.get(row);
    return n === undefined ? texts[row]! : html`<s title="${n} of ${model.topK} choices dropped">${texts[row]!}</s>`;
  });
  return html`<p class="text">${pieces}${rows.length > SHOWN ? ' …' : nothing}</p>`;
}

export const capacity: View<Overflow, CapacityState> = {
  question: 'What would a capacity limit drop?',
  reading:
    'If each expert took only so many tokens, the rest would be dropped, here struck through; the curves say how many, the grey band how many by chance.',
  method: [
    'Capacity is ⌈factor·T·K/E⌉ choices an expert (GShard, arXiv 2006.16668; Switch, arXiv 2101.03961), all tokens shown being one batch. Overflow is the share of choices that find their expert full.',
    'Order: by position, all first choices in the order of the tokens, then all second ones (GShard); by gate, tokens with the largest first weight before others (batch prioritized routing, arXiv 2106.05974). The order changes which tokens drop, not how many.',
    'By chance: the overflow of 2,000 simulated uniform routings of as many tokens (seed 1). Models that run here drop nothing: it is what training with such a limit would have dropped.',
  ],
  axes: ['phase', 'chat', 'layer'],
  state: { factor: 1.25, order: 'position' },
  heavy: true,
  controls: ({ trace: { weights } }) => [
    { kind: 'range', name: 'factor', label: 'Capacity factor', min: FROM, max: TO, step: STEP, format: (f) => `×${f}` },
    {
      kind: 'choice',
      name: 'order',
      label: 'First served',
      options: [['position', 'by position'] as const, ...(weights ? [['gate', 'by gate weight'] as const] : [])],
    },
  ],
  lacks: lacksTokens,
  compute,
  figure: (data, context) =>
    html`<p><span class="badge simulation">simulation</span> This model drops nothing.</p>
      ${plots(data, context)}${textView(data, context)}`,
  summary: ({ layers, dropped: { capacity: places, rows, lost }, hit }, { selection: { layer }, state: { factor } }) =>
    `${count(rows.length, 'token')}; at ×${short(factor)} an expert of layer ${layer} has ${count(places, 'place')}. ${besideChance(
      layers[layer]!,
      percent,
    )} of its choices would drop: ${count(hit.size, 'token')} would lose some, ${lost} all.`,
  table: ({ layers, factors }, { selection: { layer }, state: { factor } }) => ({
    caption: 'Share of choices that would be dropped.',
    columns: ['layer', 'factor', 'overflow', 'by chance', 'chance from', 'chance to', 'tokens'],
    rows: [
      ...layers.map((m, l) => [l, factor, ...chanceCells(m), m.n]),
      ...factors.map((m, i) => [layer, FACTORS[i]!, ...chanceCells(m), m.n]),
    ],
  }),
  leave: (brush) => (brush.dropped = null),
};
