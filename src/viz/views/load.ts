/** The dashboard of balance: loads of one layer, and the measures of the papers over all of them. */
import { html } from 'lit';
import { binomialBand } from '../../trace/stats/distributions.ts';
import { pairsDrawn, tokensDrawn, type Measured } from '../../trace/stats/chance.ts';
import { loadStats, meanOverLayers } from '../../trace/stats/load.ts';
import { countsOf, layerOf, type LayerCounts } from '../../trace/stats/select.ts';
import { besideChance, chanceBands, chanceCells, valuesOf } from '../beside-chance.ts';
import { plotView } from '../figures/plot.ts';
import { several, widthOfEach } from '../figures/several.ts';
import { hue } from '../ramps.ts';
import { lacksTokens } from '../lacks.ts';
import type { Context, View } from '../view.ts';
import { count, expertName, percent, percentTick } from '../words.ts';
import { LOAD_MEASURES, type LoadMeasure } from './load-measures.ts';

interface LoadState extends Readonly<Record<string, string>> {
  readonly group: LoadMeasure['group'];
  readonly devices: string;
}

interface Row {
  readonly measure: LoadMeasure;
  /** Of each layer; null: the trace lacks what it takes. */
  readonly layers: readonly Measured[] | null;
}

interface Loads {
  readonly counts: LayerCounts;
  readonly rows: readonly Row[];
  readonly cv: Measured;
  /** Of one expert's share. */
  readonly band: { readonly mean: number; readonly low: number; readonly high: number };
}

/** Numbers of equal groups, from 2 to half of the experts. */
const groupings = (experts: number): readonly number[] =>
  Array.from({ length: experts }, (_, d) => d).filter((d) => d > 1 && 2 * d <= experts && experts % d === 0);

function compute({ trace, part, selection: { layer }, state: { group, devices } }: Context<LoadState>): Loads {
  const counts = countsOf(trace, part);
  const possible = groupings(trace.model.experts);
  const input = { trace, part, counts, devices: possible.find((d) => String(d) === devices) ?? possible[0] ?? 1 };
  const rows = LOAD_MEASURES.filter((m) => m.group === group).map((measure): Row => {
    const layers = Array.from({ length: counts.layers }, (_, l) => measure.of(input, l));
    return { measure, layers: layers.every((m) => m !== null) ? layers : null };
  });
  return { counts, rows, cv: loadStats(counts, layer).cv, band: shareBand(counts, layer) };
}

/** Each token takes an expert with k / E. */
function shareBand(counts: LayerCounts, layer: number): Loads['band'] {
  const { draws } = layerOf(counts, layer);
  const [tokens, pairs] = [tokensDrawn(draws), pairsDrawn(draws)];
  if (tokens === 0) return { mean: 0, low: 0, high: 0 };
  const { mean, low, high } = binomialBand(tokens, pairs / tokens / draws.experts);
  return { mean: (mean * tokens) / pairs, low: (low * tokens) / pairs, high: (high * tokens) / pairs };
}

function bars(
  { counts, band }: Loads,
  { selection: { layer, expert }, brush, width, say }: Context<LoadState>,
): unknown {
  const { experts, probs } = counts;
  const f = Array.from(loadStats(counts, layer, { chance: false }).share);
  const p = probs && Array.from(probs.subarray(layer * experts, (layer + 1) * experts));
  return plotView({
    label: `Load of the experts of layer ${layer}`,
    series: [
      { label: 'share of choices f', y: f, as: 'bars' },
      ...(p ? [{ label: 'mean probability P', y: p, as: 'points' as const, colour: hue(1) }] : []),
    ],
    bands: [{ label: 'by chance', low: f.map(() => band.low), high: f.map(() => band.high) }],
    xTitle: `expert of layer ${layer}`,
    yTitle: 'share',
    yWords: percentTick,
    cursor: expert,
    describe: (e) =>
      `${expertName(layer, e)}: ${percent(f[e]!)} of the choices (by chance ${percent(band.low)} to ${percent(band.high)})${
        p ? `, ${percent(p[e]!)} of the probability` : ''
      }`,
    width,
    height: 220,
    say,
    select: (e) => brush.select({ expert: e }),
  });
}

function overLayers(
  { measure: { name, words, definition, needs }, layers }: Row,
  context: Context<LoadState>,
): unknown {
  const { selection, brush, width, say } = context;
  if (!layers) return html`<p><strong>${name}</strong>: ${definition} This trace has no ${needs}.</p>`;
  return html`${plotView({
      label: `${name} by layer`,
      series: [{ label: 'measured', y: valuesOf(layers), as: layers.length > 1 ? 'line' : 'points' }],
      bands: chanceBands(layers),
      xTitle: 'layer',
      yTitle: name,
      yWords: words === percent ? percentTick : words,
      cursor: selection.layer,
      describe: (l) => `${name}, layer ${l}: ${besideChance(layers[l]!, words)}`,
      width: widthOfEach(width),
      height: 160,
      say,
      select: (layer) => brush.select({ layer, expert: null }),
    })}
    <p>
      ${definition} Here ${besideChance(layers[selection.layer]!, words)}; mean over layers
      ${words(meanOverLayers(layers))}.
    </p>`;
}

export const load: View<Loads, LoadState> = {
  question: 'Is the load balanced?',
  reading:
    'Bars are the experts of the chosen layer; below, a measure a figure over all layers. What lies in the grey band is no more uneven than chance alone.',
  method: [
    'f_i is the share of the layer’s choices that went to expert i, P_i its mean probability over the tokens; they differ, because choosing K is not the same as being likely. Each layer by itself: added up over layers, imbalances would cancel.',
    'By chance: every token takes K of the layer’s E experts, all sets equally likely. The band of a bar is the binomial one; those of the measures come from 2,000 simulated routings of as many tokens (seed 1), or from a normal or chi-square limit.',
    'Sources: Switch Transformers, arXiv 2101.03961; Shazeer et al., arXiv 1701.06538; ST-MoE, arXiv 2202.08906; loss-free balancing, arXiv 2408.15664; DeepSeek-V2 and -V3, arXiv 2405.04434 and 2412.19437. All losses without their factors.',
  ],
  axes: ['phase', 'chat', 'layer'],
  state: { group: 'evenness', devices: '2' },
  heavy: true,
  controls: ({ trace: { model }, state: { group } }) => [
    {
      kind: 'choice',
      name: 'group',
      label: 'Measures',
      options: [
        ['evenness', 'evenness'],
        ['losses', 'balance losses'],
        ['devices', 'balance of devices'],
        ['information', 'mutual information'],
      ],
    },
    ...(group === 'devices'
      ? [
          {
            kind: 'choice' as const,
            name: 'devices',
            label: 'Devices D',
            options: groupings(model.experts).map((d) => [String(d), String(d)] as const),
          },
        ]
      : []),
  ],
  lacks: lacksTokens,
  compute,
  figure: (data, context) => html`${bars(data, context)}${several(data.rows.map((row) => overLayers(row, context)))}`,
  summary: ({ counts: { tokens, topK, experts }, cv }, { selection: { layer } }) =>
    `${count(tokens, 'token')}, ${topK} of ${experts} experts each: an even share is ${percent(1 / experts)}. CV of layer ${layer}: ${besideChance(cv)}.`,
  table: ({ counts, rows, band }, { selection: { layer } }) => ({
    caption: `Measures of each layer, and the load of the experts of layer ${layer}.`,
    columns: ['what', 'layer', 'expert', 'value', 'by chance', 'chance from', 'chance to', 'tokens'],
    rows: [
      ...rows.flatMap(({ measure: { name }, layers }) =>
        (layers ?? []).map((m, l) => [name, l, null, ...chanceCells(m), m.n] as const),
      ),
      ...Array.from(
        loadStats(counts, layer, { chance: false }).share,
        (f, e) => ['share of choices f', layer, e, f, band.mean, band.low, band.high, counts.tokens] as const,
      ),
      ...Array.from(
        counts.probs?.subarray(layer * counts.experts, (layer + 1) * counts.experts) ?? [],
        (p, e) => ['mean probability P', layer, e, p, null, null, null, counts.tokens] as const,
      ),
    ],
  }),
};
