/** How sure the router was along the text, and layer by layer; beside it how sure the model was of its next token. */
import { html } from 'lit';
import { distributionOf, gateOf, type Distribution, type Gate } from '../../trace/stats/gate.ts';
import type { Trace } from '../../trace/trace.ts';
import { plotView, type Plot, type Series } from '../figures/plot.ts';
import { lacksTokens } from '../lacks.ts';
import { hue } from '../ramps.ts';
import { nearest, pageOf, tokenLabel } from '../route.ts';
import type { Context, View } from '../view.ts';
import { count, percent, short, tokenName } from '../words.ts';

const MEASURES = [
  ['entropy', 'entropy of the probabilities'],
  ['margin', 'margin at the cut'],
  ['topShare', 'share of the first expert'],
] as const;
type Measure = (typeof MEASURES)[number][0];

interface ConfidenceState extends Readonly<Record<string, string>> {
  readonly show: Measure;
}

interface Confidence {
  readonly gate: Gate;
  readonly show: Measure;
  /** [L] of the measure shown. */
  readonly layers: readonly (Distribution | null)[];
  /** What a router gives to which all experts are alike. */
  readonly alike: number;
  /** Bits of the next token, -log2 p, by row; null: nobody recorded them. */
  readonly bits: Float64Array | null;
  /** Of `gate.rows`, those that have the measure: a trace may have logits of a part of its tokens. */
  readonly known: Uint32Array;
}

/** Tokens in a track at a time: more than one a pixel or two nobody reads. */
const WINDOW = 240;

const available = (trace: Trace): readonly Measure[] => [
  ...(trace.logits && trace.scoring ? (['entropy', 'margin'] as const) : []),
  ...(trace.weights ? (['topShare'] as const) : []),
];

/** What is asked for if the trace has it, else the first that it has. */
const shownOf = ({ trace, state }: Context<ConfidenceState>): Measure => {
  const has = available(trace);
  return has.includes(state.show) ? state.show : has[0]!;
};

function compute(context: Context<ConfidenceState>): Confidence {
  const { trace, part, selection } = context;
  const show = shownOf(context);
  const gate = gateOf(trace, selection.layer, part);
  const layers = Array.from({ length: trace.model.layers }, (_, layer) =>
    distributionOf(gateOf(trace, layer, part)[show]!),
  );
  const { logprobs } = trace;
  const bits = logprobs ? Float64Array.from(gate.rows, (row) => -logprobs[row]! / Math.LN2) : null;
  const alike = { entropy: 1, margin: 0, topShare: 1 / trace.model.topK }[show];
  const known = Uint32Array.from(gate.rows.keys()).filter((at) => Number.isFinite(gate[show]![at]));
  return { gate, show, layers, alike, bits, known };
}

/** The line that all experts alike would give. */
const alikeLine = (n: number, alike: number): Series => ({
  label: 'all alike',
  y: Array<number>(n).fill(alike),
  as: 'line',
  colour: hue(5),
  dashed: true,
});

type Tracked = Pick<Plot, 'label' | 'yTitle' | 'yWords' | 'series' | 'describe'> & { readonly height: number };

function track(
  { gate, known }: Confidence,
  context: Context<ConfidenceState>,
  of: (shown: Uint32Array) => Tracked,
): unknown {
  const { trace, selection, brush, width, say } = context;
  const { from, to } = pageOf(
    trace,
    known.map((i) => gate.rows[i]!),
    selection.token,
    WINDOW,
  );
  const shown = known.subarray(from, to);
  const rows = shown.map((i) => gate.rows[i]!);
  const at = selection.token === null ? null : nearest(rows, selection.token);
  return plotView({
    ...of(shown),
    xTitle: 'token',
    xWords: (i) => (trace.texts ? tokenName(trace.texts[rows[i]!]!).slice(0, 7) : String(rows[i])),
    cursor: at,
    width,
    say,
    select: (i) => brush.select({ token: rows[i]! }),
  });
}

const nameOf = (show: Measure): string => MEASURES.find(([name]) => name === show)![1];

function tokenWords({ gate, bits }: Confidence, trace: Trace, at: number): string {
  const parts = [
    gate.entropy && `entropy ${short(gate.entropy[at]!)}`,
    gate.margin && `margin ${percent(gate.margin[at]!)}`,
    gate.topShare && `first expert ${percent(gate.topShare[at]!)}`,
    bits && Number.isFinite(bits[at]!) && `next token ${short(bits[at]!)} bits`,
  ];
  return `token ${gate.rows[at]!} ${tokenLabel(trace, gate.rows[at]!)}: ${parts.filter(Boolean).join(', ')}`;
}

function layersPlot(
  { layers, alike, show }: Confidence,
  { selection, brush, width, say }: Context<ConfidenceState>,
): unknown {
  const at = (q: number): number[] => layers.map((d) => d?.quantiles[q] ?? NaN);
  return plotView({
    label: `${nameOf(show)} by layer`,
    series: [
      { label: 'median', y: at(2), as: 'line' },
      { label: '5 %', y: at(0), as: 'points', colour: hue(4) },
      { label: '95 %', y: at(4), as: 'points', colour: hue(3) },
      alikeLine(layers.length, alike),
    ],
    bands: [
      {
        label: 'middle half',
        low: layers.map((d) => d?.quantiles[1] ?? alike),
        high: layers.map((d) => d?.quantiles[3] ?? alike),
      },
    ],
    xTitle: 'layer',
    yTitle: nameOf(show),
    yWords: short,
    cursor: selection.layer,
    describe: (layer) => {
      const d = layers[layer];
      return d
        ? `layer ${layer}: median ${short(d.quantiles[2])}, half of ${count(d.n, 'token')} from ${short(d.quantiles[1])} to ${short(d.quantiles[3])}`
        : `layer ${layer}: not run`;
    },
    width,
    height: 180,
    say,
    select: (layer) => brush.select({ layer }),
  });
}

export const confidence: View<Confidence, ConfidenceState> = {
  question: 'How sure was the router?',
  reading:
    'The upper track follows the text in one layer: the nearer to the dashed line, the more alike the experts were to the router; below, all layers by their middle half.',
  method: [
    'Entropy is H(p) / ln E of the router’s probabilities; the margin is p of the last expert taken less p of the first one not taken; the share of the first expert is its gate weight over those of all taken. The dashed line is a router without preference: entropy 1, margin 0, share 1/K.',
    'Bits of the next token are −log2 of the probability that the model gave to the token which was drawn then. Small margins mark tokens where other routes might do as well (Counterfactual routing, see the measures in docs/statistics.md): it takes an intervention to know.',
  ],
  observed: true,
  axes: ['phase', 'chat', 'layer'],
  state: { show: 'entropy' },
  controls: (context) => {
    const has = available(context.trace);
    return has.length < 2
      ? []
      : [{ kind: 'choice', name: 'show', label: 'Show', options: MEASURES.filter(([name]) => has.includes(name)) }];
  },
  lacks: (trace, context) =>
    lacksTokens(trace, context) ??
    (available(trace).length > 0
      ? null
      : 'This trace has neither router logits nor gate weights. Record it with `webmoe trace record --logits`, or let a model answer here with routing at level “logits”.'),
  compute,
  figure: (data, context) => {
    const { gate, show, bits, alike } = data;
    const { trace } = context;
    return html`${track(data, context, (shown) => ({
      label: `${nameOf(show)} along the text`,
      yTitle: `${nameOf(show)}, layer ${context.selection.layer}`,
      yWords: short,
      series: [
        { label: 'layer', y: Float64Array.from(shown, (at) => gate[show]![at]!), as: 'line' },
        alikeLine(shown.length, alike),
      ],
      describe: (i) => tokenWords(data, trace, shown[i]!),
      height: 170,
    }))}
    ${
      bits &&
      track(data, context, (shown) => ({
        label: 'Bits of the next token along the text',
        yTitle: 'bits of the next token',
        yWords: short,
        series: [{ label: 'bits', y: Float64Array.from(shown, (at) => bits[at]!), as: 'bars', colour: hue(3) }],
        describe: (i) => tokenWords(data, trace, shown[i]!),
        height: 130,
      }))
    }
    ${layersPlot(data, context)}`;
  },
  summary: ({ gate, show, alike }, { selection, trace }) => {
    const found = distributionOf(gate[show]!);
    const missing = available(trace).includes('entropy')
      ? ''
      : ' Entropy and margin need logits: record the trace with `webmoe trace record --logits`.';
    return found
      ? `${count(found.n, 'token')} in layer ${selection.layer}: median ${nameOf(show)} ${short(found.quantiles[2])}; a router to which all experts are alike gives ${short(alike)}.${missing}`
      : `The layer ran for no token of this part; all experts alike would give ${short(alike)}.`;
  },
  table: ({ gate, bits }, { trace, selection }) => ({
    caption: `How sure the router of layer ${selection.layer} was of each token.`,
    columns: ['token', 'text', 'entropy', 'margin', 'share of the first expert', 'bits of the next token'],
    rows: Array.from(gate.rows, (row, i) => [
      row,
      trace.texts?.[row] ?? null,
      gate.entropy?.[i] ?? null,
      gate.margin?.[i] ?? null,
      gate.topShare?.[i] ?? null,
      bits?.[i] ?? null,
    ]),
  }),
};
