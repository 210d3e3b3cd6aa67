/** Whether kinds of text differ in the experts they take. */
import { html } from 'lit';
import type { Measured } from '../../trace/stats/chance.ts';
import { differenceOf, type Difference } from '../../trace/stats/difference.ts';
import { domainNames } from '../../trace/stats/domains.ts';
import { loadStats } from '../../trace/stats/load.ts';
import { besideChance, chanceCells } from '../beside-chance.ts';
import { matrixView } from '../figures/matrix.ts';
import { plotView } from '../figures/plot.ts';
import { several, widthOfEach } from '../figures/several.ts';
import { viridis } from '../ramps.ts';
import { tableView } from '../table.ts';
import type { Context, View } from '../view.ts';
import { count, expertName, percent, percentTick, short } from '../words.ts';
import { tableSource, traceSource, type DomainCounts, type DomainSource } from './domain-source.ts';

interface DomainState extends Readonly<Record<string, string | number>> {
  /** Which one the ranking is about. */
  readonly domain: string;
  /** Of a published table. */
  readonly layer: string;
}

interface Domains {
  readonly source: DomainSource;
  /** Index in the counts, and number in the model. */
  readonly layer: number;
  readonly layerName: number;
  readonly distances: readonly (readonly Measured[])[];
  readonly chosen: number;
  /** Of the chosen domain against all others. */
  readonly difference: Difference;
  /** Experts by how far the chosen domain's choice of them is from the others', in deviations. */
  readonly ranking: readonly number[];
}

const tableOf = ({ extra }: Pick<Context<DomainState>, 'extra'>): DomainCounts | null =>
  (extra['counts'] as DomainCounts | null | undefined) ?? null;

function compute(context: Context<DomainState>): Domains {
  const { trace, part, selection, state } = context;
  const table = tableOf(context);
  const source = table ? tableSource(table) : traceSource(trace, part);
  const layer = table ? Math.max(0, table.layers.indexOf(Number(state.layer))) : selection.layer;
  const chosen = Math.max(0, source.names.indexOf(state.domain));
  const difference = differenceOf(source.counts[chosen]!, source.others(chosen), layer);
  const z = difference.logOddsZ;
  return {
    source,
    layer,
    layerName: table ? table.layers[layer]! : layer,
    distances: source.distances(layer),
    chosen,
    difference,
    ranking: Array.from(z.keys()).sort((a, b) => Math.abs(z[b]!) - Math.abs(z[a]!) || a - b),
  };
}

const sharesOf = ({ source: { counts }, layer }: Domains): Float64Array[] =>
  counts.map((c) => loadStats(c, layer, { chance: false }).share);

function multiples(data: Domains, { selection, brush, width, say }: Context<DomainState>): readonly unknown[] {
  const shares = sharesOf(data);
  const top = Math.max(...shares.map((s) => s.reduce((a, b) => Math.max(a, b), 0)));
  const { names, counts } = data.source;
  return names.map((name, d) => {
    const share = shares[d]!;
    const even = 1 / share.length;
    return plotView({
      label: `${name}, layer ${data.layerName}`,
      series: [
        { label: 'share', y: share, as: 'bars' },
        { label: 'even', y: share.map(() => even), as: 'line', dashed: true, colour: 'currentcolor' },
      ],
      yDomain: [0, top],
      xTitle: `expert of layer ${data.layerName}`,
      yTitle: `${d + 1} ${clipped(name)} (${count(counts[d]!.tokens, 'token')})`,
      yWords: percentTick,
      cursor: selection.expert !== null && selection.expert < share.length ? selection.expert : null,
      describe: (e) => `${name}, ${expertName(data.layerName, e)}: ${percent(share[e]!)} (even: ${percent(even)})`,
      width: widthOfEach(width),
      height: 150,
      say,
      select: (e) => brush.select({ expert: e }),
    });
  });
}

const LONGEST = 18;
const clipped = (name: string): string => (name.length > LONGEST ? `${name.slice(0, LONGEST - 1)}…` : name);

const isOutside = ({ value, chance }: Measured): boolean =>
  chance !== null && (value < chance.low || value > chance.high);

function distanceView(data: Domains, { width, say, set, redraw, brush }: Context<DomainState>): unknown {
  const { source, distances, chosen } = data;
  const { names } = source;
  const values = Float64Array.from(distances.flat(), (m) => (m.n > 0 && m.chance ? m.value : NaN));
  names.forEach((_, d) => (values[d * names.length + d] = NaN));
  const at = (row: number, column: number): Measured => distances[row]![column]!;
  return matrixView({
    rows: names.length,
    columns: names.length,
    values,
    ramp: viridis,
    domain: [0, values.reduce((most, v) => (v > most ? v : most), 0) || 1],
    label: `Distances of the domains in layer ${data.layerName}`,
    rowLabel: (d) => `${d + 1} ${clipped(names[d]!)}`,
    columnLabel: (d) => String(d + 1),
    rowTitle: '',
    columnTitle: '',
    legend: short,
    words: (v) => v.toFixed(2),
    left: 128,
    maxCell: 40,
    describe: ({ row, column }) =>
      row === column ? names[row]! : `${names[row]!} and ${names[column]!}: distance ${besideChance(at(row, column))}`,
    cursor: { row: chosen, column: columns.get(brush) ?? chosen },
    marked: names.flatMap((_, row) =>
      names.flatMap((_n, column) => (row !== column && isOutside(at(row, column)) ? [{ row, column, weight: 0 }] : [])),
    ),
    width: widthOfEach(width, 2),
    say,
    select: ({ row, column }) => {
      columns.set(brush, column);
      set({ domain: names[row]! });
      redraw();
    },
  });
}
/** Of the cursor; its row is the chosen domain. */
const columns = new WeakMap<object, number>();

const RANKED = 8;

function rankingView({ source, layer, layerName, chosen, difference, ranking }: Domains): unknown {
  const here = loadStats(source.counts[chosen]!, layer, { chance: false }).share;
  const elsewhere = loadStats(source.others(chosen), layer, { chance: false }).share;
  return tableView({
    caption: `Experts of layer ${layerName} whose choice sets “${source.names[chosen]!}” apart from the rest.`,
    columns: ['expert', 'share', 'rest', 'log-odds', 'z', 'q'],
    rows: ranking
      .slice(0, RANKED)
      .map((e) => [
        expertName(layerName, e),
        percent(here[e]!),
        percent(elsewhere[e]!),
        short(difference.logOdds[e]!),
        short(difference.logOddsZ[e]!),
        difference.q[e]! < 0.001 ? '< 0.001' : short(difference.q[e]!),
      ]),
  });
}

const pairsOf = (distances: Domains['distances']): Measured[] =>
  distances.flatMap((row, a) => row.slice(a + 1)).filter((m) => m.n > 0);

export const domains: View<Domains, DomainState> = {
  question: 'Do kinds of text take different experts?',
  reading:
    'Bars are the experts of the chosen layer, one figure a kind of text; the matrix says how far two kinds are apart, outlined where that is more than chance.',
  method: [
    'Distance: Jensen-Shannon, the root of H((p + q)/2) − (H(p) + H(q))/2 in bits of two load shares (Endres and Schindelin 2003); 0 for equal shares, 1 for no expert in common. With a trace, the 95 % band shuffles whole chats among the domains (1,000 times, seed 1), because tokens of one text depend on each other; with published counts there are no chats to shuffle, and the band of independent tokens is too narrow.',
    'Ranking: log-odds of choosing an expert in the chosen kind of text against all others, 0.5 added to each count (Monroe et al. 2008), z its distance from 0 in deviations. q is after Benjamini and Hochberg (1995) over the experts of the layer: of many experts some differ by chance. z treats tokens as independent and is too large: it sorts what to look at and proves nothing.',
    'Domain specialisation in this form is in OLMoE (arXiv 2409.02060, section 5.3).',
  ],
  observed: true,
  axes: (context) => (tableOf(context) ? [] : ['phase', 'layer']),
  state: { domain: '', layer: '' },
  heavy: true,
  extra: ['counts'],
  needsNoTrace: true,
  provenance: (context) => tableOf(context)?.provenance ?? context.trace.provenance ?? null,
  controls: (context) => {
    const table = tableOf(context);
    const names = table ? table.domains : domainNames(context.trace).map((name) => name ?? 'no domain');
    return [
      ...(table
        ? [
            {
              kind: 'choice' as const,
              name: 'layer',
              label: 'Layer',
              options: table.layers.map((l) => [String(l), String(l)] as const),
            },
          ]
        : []),
      {
        kind: 'choice',
        name: 'domain',
        label: 'Ranking for',
        options: names.map((name) => [name, clipped(name)] as const),
      },
    ];
  },
  lacks: (trace, context) => {
    if (tableOf(context)) return null;
    const { phase } = context.part;
    return domainNames(trace, phase ? { phase } : {}).length >= 2
      ? null
      : 'This trace does not say what kinds of text its chats are. Record prompts of two or more kinds with `webmoe trace record --prompts FILE`, each as {"prompt": "…", "domain": "code"}, or open published counts.';
  },
  compute,
  figure: (data, context) =>
    html`${several([...multiples(data, context)])}${several([distanceView(data, context), rankingView(data)], 2)}`,
  summary: ({ source, distances, layerName }) => {
    const pairs = pairsOf(distances);
    const mean = (of: (m: Measured) => number): number => pairs.reduce((sum, m) => sum + of(m), 0) / pairs.length;
    const tokens = source.counts.reduce((sum, c) => sum + c.tokens, 0);
    return `${count(tokens, 'token')} of ${count(source.names.length, 'kind')} of text, layer ${layerName}; mean distance ${short(
      mean((m) => m.value),
    )}, by chance ${short(mean((m) => m.chance?.mean ?? 0))} (${source.null}). ${pairs.filter(isOutside).length} of ${count(
      pairs.length,
      'pair',
    )} outside the band, by chance ${short(pairs.length / 20)}.`;
  },
  table: (data) => ({
    caption: 'Shares by kind of text, and distances.',
    columns: ['what', 'layer', 'text', 'expert or text', 'value', 'by chance', 'chance from', 'chance to', 'n'],
    rows: [
      ...sharesOf(data).flatMap((share, d) =>
        Array.from(share, (s, e) => [
          'share',
          data.layerName,
          data.source.names[d]!,
          e,
          s,
          1 / share.length,
          null,
          null,
          data.source.counts[d]!.tokens,
        ]),
      ),
      ...data.distances.flatMap((row, a) =>
        row
          .map((m, b) => [
            'distance',
            data.layerName,
            data.source.names[a]!,
            data.source.names[b]!,
            ...chanceCells(m),
            m.n,
          ])
          .slice(a + 1),
      ),
      ...data.ranking.map((e) => [
        'log-odds',
        data.layerName,
        data.source.names[data.chosen]!,
        e,
        data.difference.logOdds[e]!,
        0,
        null,
        null,
        data.source.counts[data.chosen]!.tokens,
      ]),
    ],
  }),
};
