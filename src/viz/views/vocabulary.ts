/** Whether experts go by the look of a token: kinds of tokens by experts, and how far a token id settles its expert. */
import { html } from 'lit';
import {
  topTokens,
  typeShares,
  typesOf,
  vocabularyOf,
  type TopToken,
  type TypeTable,
  type Vocabulary,
} from '../../trace/stats/vocabulary.ts';
import { chanceCells, chanceColumns } from '../beside-chance.ts';
import { matrixView } from '../figures/matrix.ts';
import { lacksTexts, lacksTokens } from '../lacks.ts';
import { diverging } from '../ramps.ts';
import type { Context, View } from '../view.ts';
import { bandWords, count, expertName, percent, short, timesWords, tokenName } from '../words.ts';

interface Kinds {
  readonly table: TypeTable;
  /** Of `table.types`, those that occur. */
  readonly types: readonly number[];
  /** [types, E], log2 of the expert's share of the type over that of all tokens. */
  readonly ratio: Float64Array;
  /** [types, E], 1 where chance alone does not give it. */
  readonly beyond: Uint8Array;
  readonly input: Vocabulary | null;
  readonly next: Vocabulary | null;
  readonly tops: Map<number, readonly TopToken[] | null>;
}

interface KindState extends Readonly<Record<string, boolean>> {
  readonly beyond: boolean;
}

/** Keeps kinds that an expert never took on the scale. */
const PSEUDOCOUNT = 0.5;
const TOP = 16;

function compute({ trace, part, selection: { layer } }: Context<KindState>): Kinds {
  const table = typesOf(trace, layer, part)!;
  const { experts, tokens, counts, ofExpert } = table;
  const all = tokens.reduce((a, b) => a + b, 0) || 1;
  const types = Array.from(tokens.keys()).filter((type) => tokens[type]! > 0);
  const ratio = new Float64Array(types.length * experts);
  const beyond = new Uint8Array(ratio.length);
  for (let e = 0; e < experts; e++) {
    const shares = typeShares(table, e);
    types.forEach((type, row) => {
      const expected = (ofExpert[e]! * tokens[type]!) / all;
      const { value, chance } = shares[type]!;
      ratio[row * experts + e] = Math.log2((counts[type * experts + e]! + PSEUDOCOUNT) / (expected + PSEUDOCOUNT));
      beyond[row * experts + e] = chance && (value < chance.low || value > chance.high) ? 1 : 0;
    });
  }
  const of = (what: 'input' | 'next'): Vocabulary | null => vocabularyOf(trace, layer, { of: what, part });
  return { table, types, ratio, beyond, input: of('input'), next: of('next'), tops: new Map() };
}

function describe({ table, types, ratio }: Kinds, layer: number, row: number, expert: number): string {
  const type = types[row]!;
  const { value, chance, n } = typeShares(table, expert)[type]!;
  return `${expertName(layer, expert)}: ${table.types[type]} is ${percent(value)} of its ${count(n, 'token')} (by chance ${bandWords(chance)}), log2 ${short(ratio[row * table.experts + expert]!)}`;
}

function topOf(
  { tops }: Kinds,
  { trace, part, selection }: Context<KindState>,
  expert: number,
): readonly TopToken[] | null {
  if (!tops.has(expert)) tops.set(expert, topTokens(trace, selection.layer, expert, { most: TOP, part }));
  return tops.get(expert)!;
}

function topView(kinds: Kinds, context: Context<KindState>): unknown {
  const { selection } = context;
  if (selection.expert === null) return html`<p class="note">Choose an expert to see its tokens.</p>`;
  const top = topOf(kinds, context, selection.expert);
  if (!top) return html`<p>Without token ids in the trace there is no list of its tokens.</p>`;
  return html`<p>${expertName(selection.layer, selection.expert)} took most often:</p>
    <ul class="chips">
      ${top.map(
        ({ id, text, times, of, lift }) =>
          html`<li>
            <mark>${text === null ? `id ${id}` : tokenName(text)}</mark> ${times} of ${of} (×${short(lift)})
          </li>`,
      )}
    </ul>`;
}

function specialised(of: Vocabulary | null, what: string): string {
  if (!of || of.specialisation.n === 0) return '';
  const { value, chance, n } = of.specialisation;
  return ` Vocabulary specialisation by ${what}: ${percent(value)} (by chance ${bandWords(chance)}; n = ${count(n, 'id')}).`;
}

export const vocabulary: View<Kinds, KindState> = {
  question: 'Syntax or meaning: which kinds of tokens does each expert take?',
  reading:
    'A row is a kind of token, a column an expert of this layer; orange is more of that kind than among all tokens, blue less, and cells that chance alone explains are left blank.',
  method: [
    'log2 of the kind’s count in an expert over what its share among all tokens would give, both with a pseudocount of one half. A cell is blank inside the band that holds 95 of 100 draws of as many tokens from all (hypergeometric). Kinds go by the text of a token alone; function words are known in English only.',
    'Vocabulary specialisation is the mean, over token ids that occur at least 10 times, of the largest share of an id’s occurrences that one expert took (OLMoE, Muennighoff et al. 2024, arXiv 2409.02060, section 5.4). Its chance level is that of the luckiest of E experts, simulated.',
  ],
  observed: true,
  axes: ['phase', 'chat', 'layer'],
  state: { beyond: true },
  controls: () => [{ kind: 'toggle', name: 'beyond', label: 'Leave out what chance gives' }],
  lacks: (trace, context) => lacksTexts(trace) ?? lacksTokens(trace, context),
  compute,
  figure: (kinds, context) => {
    const { table, types, ratio, beyond } = kinds;
    const { state, selection, brush, width, dark, say } = context;
    const all = table.tokens.reduce((a, b) => a + b, 0);
    const top = ratio.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
    return html`${matrixView({
      rows: types.length,
      columns: table.experts,
      values: state.beyond ? ratio.map((value, i) => (beyond[i] ? value : NaN)) : ratio,
      ramp: diverging(dark),
      domain: [-top, top],
      label: `Kinds of tokens by expert of layer ${selection.layer}`,
      rowLabel: (row) => `${table.types[types[row]!]} ${percent(table.tokens[types[row]!]! / all, 0)}`,
      columnLabel: String,
      rowTitle: 'kind, of all tokens',
      columnTitle: `expert of layer ${selection.layer}`,
      legend: timesWords,
      describe: ({ row, column }) => describe(kinds, selection.layer, row, column),
      cursor: selection.expert === null ? null : { row: cursorRow(context, types.length), column: selection.expert },
      width,
      left: 124,
      maxCell: 34,
      say,
      select: ({ row, column }) => {
        rowOf.set(brush, row);
        brush.select({ expert: column });
        context.redraw();
      },
    })}
    ${topView(kinds, context)}`;
  },
  summary: ({ table, types, beyond, input, next }) => {
    const outside = beyond.reduce((n, is) => n + is, 0);
    const tokens = table.tokens.reduce((a, b) => a + b, 0);
    return `${count(tokens, 'token')} of ${count(types.length, 'kind')}; ${outside} of ${beyond.length} cells are outside the band, by chance at most 5.0 % (${short(0.05 * beyond.length)}) would be.${specialised(input, 'token read')}${specialised(next, 'next token')}`;
  },
  table: ({ table, types, ratio }, { selection }) => {
    const shares = Array.from({ length: table.experts }, (_, e) => typeShares(table, e));
    return {
      caption: `Kinds of tokens by expert of layer ${selection.layer}.`,
      columns: ['kind', 'expert', 'tokens', ...chanceColumns('share'), 'log2 ratio'],
      rows: types.flatMap((type, row) =>
        shares.map((of, e) => [
          table.types[type]!,
          expertName(selection.layer, e),
          table.counts[type * table.experts + e]!,
          ...chanceCells(of[type]!),
          ratio[row * table.experts + e]!,
        ]),
      ),
    };
  },
};

/** The row of the cursor is of no use to other views: it stays here. */
const rowOf = new WeakMap<Context['brush'], number>();
const cursorRow = ({ brush }: Context<KindState>, rows: number): number => Math.min(rows - 1, rowOf.get(brush) ?? 0);
