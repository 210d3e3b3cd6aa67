/** Everything about one expert of one layer on a card. */
import { html } from 'lit';
import type { Measured } from '../../trace/stats/chance.ts';
import { coactivationOf, pairOf, type Coactivation } from '../../trace/stats/coactivation.ts';
import { takenIn, type Taken } from '../../trace/stats/taken.ts';
import { topTokens, type TopToken } from '../../trace/stats/vocabulary.ts';
import { chanceBands, chanceCells, chanceColumns, valuesOf } from '../beside-chance.ts';
import { plotView } from '../figures/plot.ts';
import { several, widthOfEach } from '../figures/several.ts';
import { tokenListView } from '../figures/token-list.ts';
import { lacksTokens } from '../lacks.ts';
import { domainGroups, positionGroups, typeGroups, type Groups } from '../shares.ts';
import type { Cell } from '../table.ts';
import type { Context, View } from '../view.ts';
import { bandWords, count, expertName, percent, percentTick, short, tokenName } from '../words.ts';

/** Of a layer; what is of one expert is made when it is looked at. */
interface Card {
  readonly layer: number;
  readonly taken: Taken;
  /** [E] */
  readonly counts: Uint32Array;
  readonly pairs: Coactivation;
  readonly groups: readonly { readonly title: string; readonly groups: Groups }[];
  readonly experts: Map<number, One>;
  /** Which bar of which figure is under the cursor. */
  cursor: { readonly title: string; readonly index: number } | null;
}
interface One {
  /** Its tokens, those that it weighed most first. */
  readonly tokens: readonly number[];
  readonly last: number | null;
  readonly top: readonly TopToken[] | null;
  /** Experts beside it, most frequent first. */
  readonly beside: readonly { readonly expert: number; readonly measured: Measured }[];
}

const BESIDE = 10;
const TOP = 12;

function compute({ trace, part, selection: { layer } }: Context): Card {
  const taken = takenIn(trace, layer, part);
  const counts = new Uint32Array(trace.model.experts);
  taken.ids.forEach((id) => counts[id]!++);
  const all = [
    { title: 'kind of token', groups: typeGroups(trace, layer, part) },
    { title: 'domain', groups: domainGroups(trace, layer, part) },
    { title: 'place in the chat', groups: positionGroups(trace, layer, part) },
  ];
  return {
    layer,
    taken,
    counts,
    pairs: coactivationOf(trace, layer, part),
    groups: all.flatMap(({ title, groups }) => (groups ? [{ title, groups }] : [])),
    experts: new Map(),
    cursor: null,
  };
}

/** The one selected, or the busiest of the layer. */
const expertOf = ({ counts }: Card, { selection }: Context): number =>
  selection.expert ?? counts.indexOf(counts.reduce((a, b) => Math.max(a, b)));

function oneOf(card: Card, context: Context): One {
  const expert = expertOf(card, context);
  const known = card.experts.get(expert);
  if (known) return known;
  const { trace, part } = context;
  const found = weighed(card.taken, expert);
  const others = card.counts.length;
  const beside = Array.from({ length: others }, (_, other) => other)
    .filter((other) => other !== expert && card.counts[expert]! > 0)
    .map((other) => ({ expert: other, measured: pairOf(card.pairs, expert, other).conditional }))
    .sort((a, b) => b.measured.value - a.measured.value || a.expert - b.expert);
  const one = {
    tokens: found.toSorted((a, b) => b.weight - a.weight || a.token - b.token).map(({ token }) => token),
    last: found.at(-1)?.token ?? null,
    top: topTokens(trace, card.layer, expert, { most: TOP, part }),
    beside: beside.slice(0, BESIDE),
  };
  card.experts.set(expert, one);
  return one;
}

function weighed({ rows, ids, weights, start }: Taken, expert: number): { token: number; weight: number }[] {
  const found: { token: number; weight: number }[] = [];
  rows.forEach((token, r) => {
    for (let i = start[r]!; i < start[r + 1]!; i++)
      if (ids[i] === expert) found.push({ token, weight: weights?.[i] ?? 0 });
  });
  return found;
}

function sharesPlot(
  card: Card,
  title: string,
  names: readonly string[],
  measured: readonly Measured[],
  { say, redraw }: Context,
  width: number,
): unknown {
  return plotView({
    label: `Share of its tokens by ${title}`,
    series: [{ label: 'this expert', y: valuesOf(measured), as: 'bars' }],
    bands: chanceBands(measured),
    xTitle: title,
    yTitle: 'share of its tokens',
    xWords: (i) => (names[i] ?? '').slice(0, 8),
    yWords: percentTick,
    describe: (i) =>
      `${names[i]}: ${percent(measured[i]!.value)} of ${measured[i]!.n} (by chance ${bandWords(measured[i]!.chance)})`,
    width,
    height: 150,
    cursor: card.cursor?.title === title ? card.cursor.index : null,
    say,
    select: (index) => {
      card.cursor = { title, index };
      redraw();
    },
  });
}

function figure(card: Card, context: Context): ReturnType<typeof html> {
  const { trace, brush, width } = context;
  const expert = expertOf(card, context);
  const one = oneOf(card, context);
  const wide = widthOfEach(width, 2);
  const beside = one.beside.map(({ measured }) => measured);
  return html`<p class="card-title">${expertName(card.layer, expert)}</p>
    ${
      one.tokens.length === 0
        ? html`<p class="empty">No token of this part took this expert.</p>`
        : several(
            [
              ...card.groups.map(({ title, groups }) =>
                sharesPlot(card, title, groups.names, groups.shares(expert), context, wide),
              ),
              sharesPlot(
                card,
                'expert beside it',
                one.beside.map((other) => `E${other.expert}`),
                beside,
                context,
                wide,
              ),
            ],
            2,
          )
    }
    ${
      one.top &&
      html`<p>It took most often:</p>
        <ul class="chips">
          ${one.top.map(
            ({ id, text, times, of }) =>
              html`<li><mark>${text === null ? `id ${id}` : tokenName(text)}</mark> ${times} of ${of}</li>`,
          )}
        </ul>`
    }
    ${tokenListView({ title: trace.weights ? 'It weighed most at' : 'It took', tokens: one.tokens, trace, brush })}`;
}

export const expertCard: View<Card> = {
  question: 'What does this expert see?',
  reading:
    'Bars are shares of this expert’s tokens; the grey band is where they would be if its tokens were drawn from all tokens by chance.',
  method: [
    'Share by kind of token, domain and place: the expert’s tokens in the group over all its tokens. The band holds 95 of 100 draws of as many tokens without replacement (hypergeometric). Tokens of one chat are not independent, so domains and places stray further than the band even for an expert without a taste.',
    'Beside it: P(j | this one), the share of its tokens that took expert j, too; by chance (K − 1)/(E − 1) (co-activation, OLMoE, Muennighoff et al. 2024, arXiv 2409.02060). Kinds of tokens go by their text alone; function words are known in English only.',
    'One in twenty bars is outside its band by chance. What an expert takes is not what it does: mask it to see that.',
  ],
  observed: true,
  axes: ['phase', 'chat', 'layer'],
  state: {},
  lacks: lacksTokens,
  controls: (context) => {
    const { brush, selection, trace } = context;
    const go = (by: number) => (): void =>
      brush.select({ expert: ((selection.expert ?? 0) + by + trace.model.experts) % trace.model.experts });
    return [
      { kind: 'action', label: '← Expert', run: go(-1) },
      { kind: 'action', label: 'Expert →', run: go(1) },
    ];
  },
  compute,
  figure,
  summary: (card, context) => {
    const expert = expertOf(card, context);
    const { tokens, last } = oneOf(card, context);
    const all = card.taken.rows.length;
    const { experts, topK } = context.trace.model;
    const lacking = context.trace.texts ? '' : ' The trace has no texts: kinds of tokens are not known.';
    return `${expertName(card.layer, expert)} took ${count(tokens.length, 'token')} of ${all.toLocaleString('en')}, ${percent(tokens.length / all)} (chance: ${percent(topK / experts)})${
      last === null ? '' : `; the last was token ${last}`
    }.${lacking}`;
  },
  table: (card, context) => {
    const expert = expertOf(card, context);
    const one = oneOf(card, context);
    const of = (what: string, name: string, measured: Measured): Cell[] => [
      what,
      name,
      ...chanceCells(measured),
      measured.n,
    ];
    return {
      caption: `Expert ${expertName(card.layer, expert)}.`,
      columns: ['of', 'name', ...chanceColumns('share'), 'n'],
      rows: [
        ...card.groups.flatMap(({ title, groups }) =>
          groups.shares(expert).map((measured, i) => of(title, groups.names[i]!, measured)),
        ),
        ...one.beside.map((other) => of('expert beside it', `E${other.expert}`, other.measured)),
        ...(one.top ?? []).map(({ id, text, times, of: all, lift }): Cell[] => [
          `token, lift ${short(lift)}`,
          text ?? `id ${id}`,
          times / all,
          null,
          null,
          null,
          all,
        ]),
      ],
    };
  },
};
