/** Pairs of experts that tokens take together. */
import { html } from 'lit';
import { coactivationOf, liftMatrix, pairOf, type Coactivation } from '../../trace/stats/coactivation.ts';
import { rowsOf, type Part } from '../../trace/stats/select.ts';
import type { Trace } from '../../trace/trace.ts';
import { besideChance } from '../beside-chance.ts';
import { matrixView } from '../figures/matrix.ts';
import { chainOrder } from '../figures/order.ts';
import { tokenListView } from '../figures/token-list.ts';
import { diverging, viridis } from '../ramps.ts';
import { lacksTokens } from '../lacks.ts';
import type { Context, View } from '../view.ts';
import { count, expertName, percent, short, timesWords } from '../words.ts';

const MODES = [
  ['lift', 'together, against chance (log2)'],
  ['pmi', 'PMI in bits'],
  ['conditional', 'P(column | row)'],
] as const;
type Mode = (typeof MODES)[number][0];

interface PairState extends Readonly<Record<string, string | number>> {
  readonly as: Mode;
  readonly order: 'cluster' | 'id' | 'load';
  readonly least: number;
  /** The second expert of the selected pair; -1: none. */
  readonly with: number;
}

interface Pairs {
  readonly together: Coactivation;
  readonly order: readonly number[];
  /** [E, E], in that order. */
  readonly values: Float64Array;
  readonly domain: readonly [number, number];
  /** Pairs with enough tokens, of all. */
  readonly kept: number;
  readonly of: number;
  /** Of the kept ones, those outside their band, whichever way round. */
  readonly outside: number;
  readonly chance: number;
}

function orderOf(by: PairState['order'], { experts, pairs }: Coactivation, lift: Float64Array): readonly number[] {
  if (by === 'cluster') return chainOrder(lift, experts);
  const load = (e: number): number => pairs[e * (experts + 1)]!;
  const ids = Array.from({ length: experts }, (_, e) => e);
  return by === 'load' ? ids.sort((a, b) => load(b) - load(a) || a - b) : ids;
}

function pairsOf({ trace, part, selection: { layer }, state: { as, order: by, least } }: Context<PairState>): Pairs {
  const together = coactivationOf(trace, layer, part);
  const { experts } = together;
  const order = orderOf(by, together, liftMatrix(together));
  const values = new Float64Array(experts * experts).fill(NaN);
  let [kept, outside] = [0, 0];
  order.forEach((i, row) =>
    order.forEach((j, column) => {
      const pair = i === j ? null : pairOf(together, i, j);
      if (!pair || pair.support < Math.max(1, least)) return;
      const { value, chance } = pair.conditional;
      if (i < j) kept++;
      if (i < j && chance && (value < chance.low || value > chance.high)) outside++;
      values[row * experts + column] =
        as === 'conditional' ? value : as === 'pmi' ? pair.pmi! : Math.log2(pair.lift / pair.chanceLift);
    }),
  );
  const top = values.reduce((most, v) => (Number.isNaN(v) ? most : Math.max(most, Math.abs(v))), 0) || 1;
  const chance = (trace.model.topK - 1) / (experts - 1);
  const domain: readonly [number, number] = as === 'conditional' ? [0, top] : [-top, top];
  return { together, order, values, domain, kept, of: (experts * (experts - 1)) / 2, outside, chance };
}

const describe = ({ together }: Pairs, layer: number, i: number, j: number): string => {
  const [a, b] = [expertName(layer, i), expertName(layer, j)];
  if (i === j) return `${a}: ${count(together.pairs[i * (together.experts + 1)]!, 'token')}`;
  const { support, conditional, lift } = pairOf(together, i, j);
  return `${a} with ${b}: ${count(support, 'token')}; of ${a}’s tokens ${besideChance(conditional, percent)} take ${b}; lift ${short(lift)}`;
};

function tokensOfPair(trace: Trace, part: Part, layer: number, i: number, j: number): number[] {
  const { layers, topK } = trace.model;
  return Array.from(rowsOf(trace, part)).filter((row) => {
    const at = (row * layers + layer) * topK;
    const taken = trace.ids.subarray(at, at + topK);
    return taken.includes(i) && taken.includes(j);
  });
}

export const coactivation: View<Pairs, PairState> = {
  question: 'Who works with whom?',
  reading:
    'A row and a column are two experts of the chosen layer; orange pairs are taken by one token more often than by chance, blue ones less often.',
  method: [
    'All pairs of experts that a token takes in the layer count, not only neighbours in its ranking. P(j | i) is the share of i’s tokens that take j too (OLMoE, arXiv 2409.02060, section 5.2); by chance it is (K − 1)/(E − 1), and the band is the binomial one of as many tokens.',
    'Lift is P(i, j)/(P(i)·P(j)), PMI its log2. A token takes an expert only once, so that by chance lift is E·(K − 1)/(K·(E − 1)), a little under 1; “against chance” is log2 of lift over that.',
    'Clusters: a chain that starts with the pair of the highest lift and goes on with what is nearest to either end; there is nothing random in it. Of many pairs, one in twenty lies outside its band by chance.',
  ],
  observed: true,
  axes: ['phase', 'chat', 'layer'],
  state: { as: 'lift', order: 'cluster', least: 5, with: -1 },
  controls: () => [
    { kind: 'choice', name: 'as', label: 'Show', options: MODES },
    {
      kind: 'choice',
      name: 'order',
      label: 'Order',
      options: [
        ['cluster', 'clusters'],
        ['load', 'load'],
        ['id', 'number'],
      ],
    },
    { kind: 'range', name: 'least', label: 'At least', min: 1, max: 50, step: 1, format: (n) => count(n, 'token') },
  ],
  lacks: (trace, context) =>
    trace.model.topK < 2
      ? 'A token of this model takes one expert a layer: there are no pairs. Open a trace of a model with K ≥ 2.'
      : lacksTokens(trace, context),
  compute: pairsOf,
  figure: (data, { trace, part, state, selection: { layer, expert }, brush, width, dark, set, say }) => {
    const { together, order, values, domain } = data;
    const { experts } = together;
    const name = (at: number): string => String(order[at]!);
    const isPair = expert !== null && state.with >= 0 && state.with < experts && state.with !== expert;
    return html`${matrixView({
      rows: experts,
      columns: experts,
      values,
      ramp: state.as === 'conditional' ? viridis : diverging(dark),
      domain,
      label: `Pairs of experts of layer ${layer}`,
      rowLabel: name,
      columnLabel: name,
      rowTitle: 'expert',
      columnTitle: `experts of layer ${layer}`,
      legend: (v) => (state.as === 'conditional' ? percent(v, 0) : state.as === 'pmi' ? short(v) : timesWords(v)),
      describe: ({ row, column }) => describe(data, layer, order[row]!, order[column]!),
      cursor:
        expert === null ? null : { row: order.indexOf(expert), column: order.indexOf(isPair ? state.with : expert) },
      width: Math.min(width, MOST_WIDTH),
      say,
      select: ({ row, column }) => {
        brush.select({ expert: order[row]! });
        set({ with: order[column]! });
      },
    })}
    ${
      isPair
        ? tokenListView({
            title: `Took ${expertName(layer, expert)} and ${expertName(layer, state.with)}`,
            tokens: tokensOfPair(trace, part, layer, expert, state.with),
            trace,
            brush,
          })
        : html`<p class="note">Select a pair to see its tokens.</p>`
    }`;
  },
  summary: ({ together: { tokens, experts }, kept, of, outside, chance }, { state: { least } }) =>
    `${count(tokens, 'token')}, ${experts} experts; by chance an expert’s tokens take each other one with ${percent(chance)}. ${kept} of ${of} pairs have at least ${count(
      least,
      'token',
    )} and are shown; ${outside} of them lie outside their 95 % band, by chance about ${Math.round(kept / 20)} would.`,
  table: ({ together, order }, { state: { least } }) => {
    const at = order.map((_, i) => i);
    const rows = at.flatMap((i) =>
      at
        .filter((j) => j !== i)
        .map((j) => ({ i, j, pair: pairOf(together, i, j) }))
        .filter(({ pair }) => pair.support >= least)
        .map(
          ({ i: a, j: b, pair: { support, conditional: c, lift, pmi } }) =>
            [
              a,
              b,
              support,
              c.value,
              c.chance?.mean ?? null,
              c.chance?.low ?? null,
              c.chance?.high ?? null,
              lift,
              pmi,
            ] as const,
        ),
    );
    return {
      caption: 'Pairs of experts that tokens take together.',
      columns: [
        'expert i',
        'expert j',
        'tokens',
        'P(j | i)',
        'by chance',
        'chance from',
        'chance to',
        'lift',
        'PMI (bits)',
      ],
      rows,
    };
  },
};

/** Larger cells say no more. */
const MOST_WIDTH = 640;
