/** From the experts of one layer to those of a later one. */
import { html } from 'lit';
import { flowOf, type Flow } from '../../trace/stats/flow.ts';
import { pathsOf, type Paths } from '../../trace/stats/paths.ts';
import { besideChance } from '../beside-chance.ts';
import { matrixView } from '../figures/matrix.ts';
import { sankeyView, type FlowLink, type FlowNode } from '../figures/sankey.ts';
import { several, widthOfEach } from '../figures/several.ts';
import { diverging } from '../ramps.ts';
import { tableView } from '../table.ts';
import { lacksTokens } from '../lacks.ts';
import type { Context, Control, View } from '../view.ts';
import { count, expertName, percent, short } from '../words.ts';

const PLACES = ['first', 'second', 'third', 'fourth'] as const;

interface FlowState extends Readonly<Record<string, string | number>> {
  readonly as: 'sankey' | 'matrix';
  readonly pairs: 'top' | 'all';
  /** Layers by their numbers; empty: none. */
  readonly first: string;
  readonly second: string;
  readonly third: string;
  readonly fourth: string;
  readonly least: number;
}

interface Link {
  readonly from: number;
  readonly to: number;
  readonly i: number;
  readonly j: number;
  readonly pairs: number;
  /** What the two experts' own shares would give. */
  readonly expected: number;
}

interface Flows {
  readonly layers: readonly number[];
  readonly flows: readonly Flow[];
  /** Of at least `least` pairs, the most frequent first. */
  readonly links: readonly Link[];
  readonly all: number;
  readonly paths: Paths | null;
}

/** In their order, each once; two at least. */
function layersOf(state: FlowState, layers: number): readonly number[] {
  const chosen = PLACES.map((place) => state[place])
    .filter((text) => /^\d+$/.test(text))
    .map(Number)
    .filter((layer) => layer < layers);
  const distinct = [...new Set(chosen)].sort((a, b) => a - b);
  return distinct.length >= 2 ? distinct : [0, Math.min(1, layers - 1)];
}

function linksOf({ from, to, experts, counts }: Flow): Link[] {
  const down = new Float64Array(experts);
  const across = new Float64Array(experts);
  let n = 0;
  counts.forEach((c, at) => {
    down[Math.floor(at / experts)]! += c;
    across[at % experts]! += c;
    n += c;
  });
  return Array.from(counts, (pairs, at) => {
    const [i, j] = [Math.floor(at / experts), at % experts];
    return { from, to, i, j, pairs, expected: n > 0 ? (down[i]! * across[j]!) / n : 0 };
  }).filter(({ pairs }) => pairs > 0);
}

function compute({ trace, part, state }: Context<FlowState>): Flows {
  const layers = layersOf(state, trace.model.layers);
  const flows = layers.slice(1).map((to, i) => flowOf(trace, layers[i]!, to, part, { pairs: state.pairs }));
  const every = flows.flatMap(linksOf);
  const links = every.filter(({ pairs }) => pairs >= state.least).sort((a, b) => b.pairs - a.pairs || a.from - b.from);
  const [first, last] = [layers[0]!, layers.at(-1)!];
  const isWindow = last - first === layers.length - 1;
  return {
    layers,
    flows,
    links,
    all: every.length,
    paths: isWindow ? pathsOf(trace, { from: first, to: last + 1 }, part, PATHS) : null,
  };
}
const PATHS = 8;
/** More ribbons are a carpet. */
const RIBBONS = 160;
/** log2 of pairs over expected at the ends of the ramp. */
const SPAN = 3;

const ratioOf = ({ pairs, expected }: Link): number => Math.log2(pairs / expected);
const describe = (link: Link): string =>
  `${expertName(link.from, link.i)} → ${expertName(link.to, link.j)}: ${count(link.pairs, 'pair')}, ${short(
    link.expected,
  )} if the two had nothing to do with each other (×${short(link.pairs / link.expected)})`;

function sankeyOf({ layers, links }: Flows, context: Context<FlowState>): unknown {
  const { selection, brush, dark, width, say, redraw } = context;
  const shown = links.slice(0, RIBBONS);
  const nodes: (FlowNode & { readonly layer: number; readonly expert: number })[] = [];
  const nodeAt = (layer: number, expert: number): number => {
    const known = nodes.findIndex((n) => n.layer === layer && n.expert === expert);
    if (known >= 0) return known;
    const isSelected = selection.layer === layer && selection.expert === expert;
    return nodes.push({ layer, expert, column: layers.indexOf(layer), label: `E${expert}`, isSelected }) - 1;
  };
  const made = shown.map((link): FlowLink => ({
    source: nodeAt(link.from, link.i),
    target: nodeAt(link.to, link.j),
    value: link.pairs,
    colour: 0.5 + ratioOf(link) / (2 * SPAN),
  }));
  if (made.length === 0) return html`<p class="empty" role="status">No link has that many pairs: ask for fewer.</p>`;
  return sankeyView({
    label: `Flow through layers ${layers.join(', ')}`,
    columns: layers.map((layer) => `layer ${layer}`),
    nodes,
    links: made,
    ramp: diverging(dark),
    legend: [`÷${2 ** SPAN}`, 'as by chance', `×${2 ** SPAN}`],
    describe: (at) => describe(shown[at]!),
    width,
    say,
    select: (at) => brush.select({ layer: nodes[at]!.layer, expert: nodes[at]!.expert }),
    cursor: cursors.get(brush) ?? null,
    moveTo: (at) => {
      cursors.set(brush, at);
      redraw();
    },
  });
}
/** The link that the keyboard is at; nothing that a link would have to restore. */
const cursors = new WeakMap<object, number>();

function matricesOf({ flows }: Flows, { state, selection, brush, dark, width, say }: Context<FlowState>): unknown {
  const each = widthOfEach(width, 2);
  return several(
    flows.map((flow) => {
      const values = new Float64Array(flow.experts ** 2).fill(NaN);
      for (const link of linksOf(flow))
        if (link.pairs >= state.least) values[link.i * flow.experts + link.j] = ratioOf(link);
      const known = new Map(linksOf(flow).map((link) => [link.i * flow.experts + link.j, link]));
      return matrixView({
        rows: flow.experts,
        columns: flow.experts,
        values,
        ramp: diverging(dark),
        domain: [-SPAN, SPAN],
        label: `From layer ${flow.from} to layer ${flow.to}`,
        rowLabel: String,
        columnLabel: String,
        rowTitle: `L${flow.from}`,
        columnTitle: `experts of layer ${flow.to}`,
        legend: (v) => (v < 0 ? `÷${2 ** -v}` : `×${2 ** v}`),
        describe: ({ row, column }) => {
          const link = known.get(row * flow.experts + column);
          return link ? describe(link) : `${expertName(flow.from, row)} → ${expertName(flow.to, column)}: never`;
        },
        cursor:
          selection.layer === flow.from && selection.expert !== null
            ? { row: selection.expert, column: columns.get(brush) ?? 0 }
            : null,
        width: each,
        say,
        select: ({ row, column }) => {
          columns.set(brush, column);
          brush.select({ layer: flow.from, expert: row });
        },
      });
    }),
    2,
  );
}
const columns = new WeakMap<object, number>();

const pathsView = ({ paths, layers }: Flows): unknown =>
  paths && paths.paths.length > 0
    ? tableView({
        caption: `The most frequent of ${paths.distinct} paths of first experts through layers ${layers.join(', ')}. By chance one has ${percent(
          paths.paths[0]!.chance.mean,
          3,
        )}, 95 of 100 at most ${percent(paths.paths[0]!.chance.high, 2)}.`,
        columns: ['path', 'tokens', 'share', 'to own shares'],
        rows: paths.paths.map(({ experts, support, share, lift }) => [
          experts.map((e) => `E${e}`).join(' → '),
          support,
          percent(share),
          `×${short(lift)}`,
        ]),
      })
    : html`<p class="note">Choose layers that follow each other to see the most frequent paths.</p>`;

function controls({ trace: { model } }: Context<FlowState>): readonly Control[] {
  const layers = Array.from({ length: model.layers }, (_, l) => [String(l), `layer ${l}`] as const);
  return [
    {
      kind: 'choice',
      name: 'as',
      label: 'Show',
      options: [
        ['sankey', 'flow'],
        ['matrix', 'matrices'],
      ],
    },
    {
      kind: 'choice',
      name: 'pairs',
      label: 'Pairs',
      options: [
        ['top', 'first expert of a token'],
        ['all', 'all of its experts'],
      ],
    },
    ...PLACES.map((name, i): Control => ({
      kind: 'choice',
      name,
      label: i === 0 ? 'Layers' : 'to',
      options: i < 2 ? layers : [['', '–'], ...layers],
    })),
    { kind: 'range', name: 'least', label: 'At least', min: 1, max: 60, step: 1, format: (n) => count(n, 'pair') },
  ];
}

const informationWords = ({ from, to, experts, information, corrected }: Flow): string =>
  `layer ${from} → ${to}: ${besideChance(information)} of at most ${short(Math.log2(experts))} bits, ${short(corrected)} without bias`;

export const flow: View<Flows, FlowState> = {
  question: 'How does the text flow from layer to layer?',
  reading:
    'A ribbon joins an expert with one of a later layer; its width is the number of tokens, orange ones are more than the two experts’ own shares explain.',
  method: [
    'Pairs (layer a, expert i) → (layer b, expert j) of the same token: of its first expert in each layer, or of all its experts. Expected: pairs of i times pairs of j over all pairs.',
    'Mutual information I = Σ p(i, j)·log2(p(i, j)/(p(i)·p(j))), 0 when one layer says nothing about the other. Few tokens make it too large, so that its chance band comes from shuffling the tokens of the later layer against those of the earlier one; the corrected value subtracts the bias by Miller and Madow (1955).',
    'Paths: first experts through neighbouring layers. Chance is E^−layers; “to own shares” divides by the product of each expert’s own share.',
  ],
  observed: true,
  axes: ['phase', 'chat'],
  state: { as: 'sankey', pairs: 'top', first: '0', second: '1', third: '2', fourth: '', least: 4 },
  heavy: true,
  controls,
  lacks: (trace, context) =>
    trace.model.layers < 2
      ? 'This model has one MoE layer: nothing flows. Open a trace of a model with more of them.'
      : lacksTokens(trace, context),
  compute,
  figure: (data, context) =>
    html`${context.state.as === 'sankey' ? sankeyOf(data, context) : matricesOf(data, context)}${pathsView(data)}`,
  summary: ({ flows, links, all }, { state: { as } }) =>
    `${count(flows[0]?.tokens ?? 0, 'token')}. Mutual information: ${flows.map(informationWords).join('; ')}. ${
      as === 'sankey' ? Math.min(RIBBONS, links.length) : links.length
    } of ${count(all, 'link')} shown.`,
  table: ({ flows }) => ({
    caption: 'Pairs of experts of two layers that a token took.',
    columns: ['from layer', 'expert', 'to layer', 'expert', 'pairs', 'expected'],
    rows: flows.flatMap(linksOf).map(({ from, i, to, j, pairs, expected }) => [from, i, to, j, pairs, expected]),
  }),
};
