/** Two runs, two chats, or prompt against answer. */
import { agreementOf } from '../../trace/stats/agreement.ts';
import { differenceOf } from '../../trace/stats/difference.ts';
import { loadStats } from '../../trace/stats/load.ts';
import type { Overlap } from '../../trace/stats/overlap.ts';
import type { Chance } from '../../trace/stats/chance.ts';
import { countsOf, rowsOf, type LayerCounts, type Part } from '../../trace/stats/select.ts';
import type { Trace } from '../../trace/trace.ts';
import { matrixView } from '../figures/matrix.ts';
import { plotView } from '../figures/plot.ts';
import { diverging, HUES } from '../ramps.ts';
import type { Context, View } from '../view.ts';
import { count, expertName, percent, percentTick, short } from '../words.ts';
import { html } from 'lit';

interface Side {
  readonly name: string;
  readonly trace: Trace;
  readonly part: Part;
}

interface Comparison {
  readonly a: Side;
  readonly b: Side;
  readonly counts: readonly [LayerCounts, LayerCounts];
  /** Tokens from the start that are the same in both; null: nobody recorded tokens. */
  readonly sameTokens: number | null;
  /** Token by token, of each layer; null for models of other shapes. */
  readonly agreement: readonly Overlap[] | null;
  /** z of the difference of the proportions of tokens that took the expert, [L, E]; null for models of other shapes. */
  readonly z: Float64Array | null;
  /** CV of the load of each layer of each side, with chance. */
  readonly cv: readonly (readonly { readonly value: number; readonly chance: Chance | null }[])[];
}

interface CompareState extends Readonly<Record<string, string>> {
  /** `other`, `phases`, or the number of a chat. */
  readonly with: string;
}

const SIGNIFICANT = 1.96;

/** Without a second trace, its prompt and answer are compared until somebody chooses a chat. */
const askedOf = ({ other, state }: Pick<Context<CompareState>, 'other' | 'state'>): string =>
  other === null && state.with === 'other' ? 'phases' : state.with;

function sidesOf(context: Context<CompareState>): readonly [Side, Side] {
  const { trace, other, part, selection } = context;
  const phases = { prefill: 'prompt', decode: 'answer' } as const;
  const asked = askedOf(context);
  if (other && asked === 'other') {
    const second = other.model.name === trace.model.name ? `${other.model.name} (second)` : other.model.name;
    return [
      { name: trace.model.name, trace, part },
      // A chat chosen in the first trace is none of the second's.
      { name: second, trace: other, part: selection.phase ? { phase: selection.phase } : {} },
    ];
  }
  if (asked === 'phases') {
    const of = (phase: keyof typeof phases): Side => ({ name: phases[phase], trace, part: { ...part, phase } });
    return [of('prefill'), of('decode')];
  }
  const chat = (n: number): Side => ({
    name: trace.chats?.[n]?.name ?? `chat ${n}`,
    trace,
    part: { ...part, chat: n },
  });
  const second = Number(asked);
  return [chat(selection.chat ?? (second === 0 ? 1 : 0)), chat(second)];
}

function sharedStart(a: Side, b: Side): number | null {
  const [left, right] = [a.trace.tokens, b.trace.tokens];
  if (!left || !right) return null;
  const [rowsA, rowsB] = [rowsOf(a.trace, a.part), rowsOf(b.trace, b.part)];
  let same = 0;
  while (same < rowsA.length && same < rowsB.length && left[rowsA[same]!] === right[rowsB[same]!]) same++;
  return same;
}

function comparison(a: Side, b: Side): Comparison {
  const counts = [countsOf(a.trace, a.part), countsOf(b.trace, b.part)] as const;
  const { layers, experts } = counts[0];
  const fits = layers === counts[1].layers && experts === counts[1].experts;
  const perLayer = Array.from({ length: layers }, (_, layer) => layer);
  const z = fits ? new Float64Array(layers * experts) : null;
  if (z) for (const layer of perLayer) z.set(differenceOf(...counts, layer).z, layer * experts);
  return {
    a,
    b,
    counts,
    sameTokens: sharedStart(a, b),
    agreement: fits ? perLayer.map((layer) => agreementOf(a, b, layer)) : null,
    z,
    cv: counts.map((side) => Array.from({ length: side.layers }, (_, layer) => loadStats(side, layer).cv)),
  };
}

const chances = (agreement: readonly Overlap[], end: 'low' | 'high'): number[] =>
  agreement.map(({ overlap }) => overlap.chance?.[end] ?? NaN);

export const compare: View<Comparison, CompareState> = {
  question: 'What is different between the two?',
  reading:
    'Above: how many of a token’s experts both sides took, layer by layer, token by token from the start. Below: which experts the first side takes more (orange) or less (blue) than the second.',
  method: [
    'Agreement is the mean of |A ∩ B| / |B| over the first tokens of both sides, as far as both reach. It says something about routing where the texts are the same; where they differ it also says that other words take other experts. Chance: K/E, with its 95 % band.',
    'The colour is z, the difference of the shares of tokens that took the expert over its standard deviation under one common share; among many experts one in twenty passes ±1.96 by chance alone.',
    'Models of other shapes have no experts in common: then the evenness of their load is compared by relative depth.',
  ],
  observed: true,
  heavy: true,
  axes: (context) => (askedOf(context) === 'phases' ? ['chat'] : ['phase', 'chat']),
  state: { with: 'other' },
  lacks: (trace, { other }) =>
    other || (trace.chats?.length ?? 0) > 1 || new Set(trace.steps.map((step) => step.phase)).size > 1
      ? null
      : 'One stretch of tokens alone cannot be compared. Choose a second trace beside the first, or record the prompt too.',
  controls: ({ trace, other }) => [
    {
      kind: 'choice',
      name: 'with',
      label: 'Compare with',
      options: [
        ...(other ? [['other', `the second trace (${other.model.name})`] as const] : []),
        ['phases', 'prompt with answer'],
        ...(trace.chats ?? []).map(({ name }, i) => [String(i), name] as const),
      ],
    },
  ],
  compute: (context) => comparison(...sidesOf(context)),
  figure: (data, { brush, selection, width, dark, say }) => {
    const { a, b, agreement, z, cv, counts } = data;
    if (!agreement || !z) return depthView(data, width, say);
    const { layers, experts } = counts[0];
    const most = z.reduce((top, value) => Math.max(top, Math.abs(value)), SIGNIFICANT);
    return html`<p>First: <strong>${a.name}</strong>. Second: <strong>${b.name}</strong>.</p>
      ${plotView({
        label: `Share of experts in common, ${a.name} and ${b.name}, by layer`,
        xTitle: 'layer',
        yTitle: 'experts in common',
        yDomain: [0, 1],
        yWords: percentTick,
        series: [{ label: 'in common', as: 'line', y: agreement.map(({ overlap }) => overlap.value) }],
        bands: [{ label: '95 % by chance', low: chances(agreement, 'low'), high: chances(agreement, 'high') }],
        cursor: selection.layer,
        describe: (layer) => {
          const { overlap, sameTop } = agreement[layer]!;
          return `layer ${layer}: ${percent(overlap.value)} in common (chance ${percent(overlap.chance?.mean ?? NaN)}), the same first expert for ${percent(
            sameTop.value,
          )} of ${count(overlap.n, 'token')}; CV ${short(cv[0]![layer]!.value)} and ${short(cv[1]![layer]!.value)}`;
        },
        select: (layer) => brush.select({ layer }),
        width,
        say,
      })}
      ${matrixView({
        rows: layers,
        columns: experts,
        values: z,
        ramp: diverging(dark),
        domain: [-most, most],
        label: `Which experts ${a.name} takes more than ${b.name}`,
        rowLabel: String,
        columnLabel: String,
        rowTitle: 'layer',
        columnTitle: 'expert of that layer',
        legend: (value) => `${value < 0 ? 'second' : 'first'} more`,
        describe: ({ row, column }) => {
          const share = (side: LayerCounts): string =>
            percent(side.counts[row * experts + column]! / Math.max(1, side.tokens));
          return `${expertName(row, column)}: taken by ${share(counts[0])} of the tokens of ${a.name}, ${share(counts[1])} of ${b.name}, z ${short(
            z[row * experts + column]!,
          )}`;
        },
        cursor: selection.expert === null ? null : { row: selection.layer, column: selection.expert },
        width,
        say,
        select: ({ row, column }) => brush.select({ layer: row, expert: column }),
      })}`;
  },
  summary: ({ a, b, counts, sameTokens, agreement, z }) => {
    const sizes = `${a.name}: ${count(counts[0].tokens, 'token')}; ${b.name}: ${count(counts[1].tokens, 'token')}.`;
    if (!agreement || !z) return `${sizes} Models of other shapes: the band is 95 % by chance for each.`;
    const mean = agreement.reduce((sum, { overlap }) => sum + overlap.value, 0) / agreement.length;
    const by = agreement.reduce((sum, { overlap }) => sum + (overlap.chance?.mean ?? 0), 0) / agreement.length;
    const beyond = z.reduce((n, value) => n + (Math.abs(value) > SIGNIFICANT ? 1 : 0), 0);
    return `${sizes} ${sameTokens ? `The first ${count(sameTokens, 'token')} are the same. ` : ''}${percent(
      mean,
    )} of the experts in common (chance ${percent(by)}); ${beyond} of ${count(z.length, 'expert')} differ by more than 1.96 deviations, the most by ${short(z.reduce((top, value) => Math.max(top, Math.abs(value)), 0))} (chance ${Math.round(
      0.05 * z.length,
    )}).`;
  },
  table: ({ agreement, z, cv, counts }) =>
    agreement && z
      ? {
          caption: 'By layer and expert.',
          columns: [
            'layer',
            'expert',
            'choices, first',
            'choices, second',
            'z',
            'in common in this layer',
            'by chance',
          ],
          rows: Array.from(z, (value, i) => {
            const layer = Math.floor(i / counts[0].experts);
            const { overlap } = agreement[layer]!;
            return [
              layer,
              i % counts[0].experts,
              counts[0].counts[i]!,
              counts[1].counts[i]!,
              value,
              overlap.value,
              overlap.chance?.mean ?? null,
            ];
          }),
        }
      : {
          caption: 'Evenness of the load by layer.',
          columns: ['side', 'layer', 'CV', 'by chance, low', 'by chance, high'],
          rows: cv.flatMap((side, s) =>
            side.map(({ value, chance }, layer) => [
              s === 0 ? 'first' : 'second',
              layer,
              value,
              chance?.low ?? null,
              chance?.high ?? null,
            ]),
          ),
        },
};

const DEPTHS = 101;

/** CV by relative depth: the layers of both stretched to the same length. */
function depthView({ a, b, cv }: Comparison, width: number, say: (text: string) => void): ReturnType<typeof plotView> {
  const at = (side: number, depth: number): { value: number; chance: Chance | null } =>
    cv[side]![Math.min(cv[side]!.length - 1, Math.floor((depth / (DEPTHS - 1)) * cv[side]!.length))]!;
  const depths = Array.from({ length: DEPTHS }, (_, depth) => depth);
  return plotView({
    label: `Unevenness of the load by depth, ${a.name} and ${b.name}`,
    xTitle: 'depth, from the first layer to the last',
    yTitle: 'CV of the load',
    xWords: (depth) => `${depth} %`,
    yWords: short,
    series: [
      { label: a.name, as: 'step', y: depths.map((depth) => at(0, depth).value) },
      { label: b.name, as: 'step', colour: HUES[1]!, y: depths.map((depth) => at(1, depth).value) },
    ],
    bands: [0, 1].map((side) => ({
      label: `95 % by chance, ${side === 0 ? 'first' : 'second'}`,
      low: depths.map((depth) => at(side, depth).chance?.low ?? NaN),
      high: depths.map((depth) => at(side, depth).chance?.high ?? NaN),
    })),
    describe: (depth) => `${depth} % deep: CV ${short(at(0, depth).value)} and ${short(at(1, depth).value)}`,
    width,
    say,
  });
}
