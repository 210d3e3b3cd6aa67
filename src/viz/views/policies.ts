/** The same trace through caches of every rule and size. */
import { replayAside, type ReplayResult } from '../../trace/replay.ts';
import { visitsOf } from '../../trace/visits.ts';
import { POLICY_NAMES } from '../../policy/index.ts';
import { replayProvenance, ruleName } from '../cache.ts';
import { plotView } from '../figures/plot.ts';
import { HUES } from '../ramps.ts';
import type { View } from '../view.ts';
import { count, bytesWords, percent, percentTick } from '../words.ts';

const RULES = [...POLICY_NAMES, 'belady'] as const;
/** Shares of the experts that have a slot. */
const SIZES = [0.05, 0.1, 0.15, 0.2, 0.33, 0.5, 0.75] as const;

const FIFTH = SIZES.indexOf(0.2);

interface Curves {
  readonly slots: readonly number[];
  /** By rule, then by size; not all are there yet. */
  readonly results: Readonly<Record<string, readonly (ReplayResult | undefined)[]>>;
  readonly experts: number;
  readonly decodeTokens: number;
}

const SHOWN = [
  ['answer', 'hit rate, answer'],
  ['all', 'hit rate, prompt and answer'],
  ['bytes', 'bytes read a token of the answer'],
  ['belady', 'share of Belady’s hits'],
] as const;
type Shown = (typeof SHOWN)[number][0];

interface PolicyState extends Readonly<Record<string, string>> {
  readonly show: Shown;
}

function valueOf(show: Shown, { results }: Curves, rule: string, size: number): number {
  const result = results[rule]![size];
  if (!result) return NaN;
  const { decodeHitRate, hitRate, decodeBytesPerToken } = result;
  const best = results.belady![size]?.decodeHitRate;
  return { answer: decodeHitRate, all: hitRate, bytes: decodeBytesPerToken, belady: best ? decodeHitRate / best : NaN }[
    show
  ];
}

const worded = (show: Shown, value: number): string =>
  Number.isNaN(value) ? '…' : show === 'bytes' ? bytesWords(value) : percent(value);

export const policies: View<Curves, PolicyState> = {
  question: 'Which rule keeps the right experts?',
  reading:
    'Each line is a rule that chooses which expert leaves, replayed on this trace with room for more and more of all experts.',
  method: [
    'A cache of equal slots serves all layers. Each step and layer asks once for every distinct expert; what is missing is read and becomes resident. Every rule starts empty.',
    'LRU drops what was used longest ago, LFU what was used least, static-hot keeps what the first tokens used most; next-use estimates when each expert comes again from a fast and a slow rate. Belady drops what is needed latest: it knows the future, and nothing can do better.',
    'Chance: with routing at random every rule hits as often as the share of experts that have a slot, the dashed line.',
  ],
  state: { show: 'answer' },
  provenance: ({ trace }) => replayProvenance(trace),
  heavy: true,
  controls: () => [{ kind: 'choice', name: 'show', label: 'Show', options: SHOWN }],
  async *compute({ trace }) {
    const visits = visitsOf(trace);
    const experts = trace.model.layers * trace.model.experts;
    const slots = SIZES.map((share) => Math.max(1, Math.round(share * experts)));
    const results: Record<string, ReplayResult[]> = Object.fromEntries(RULES.map((rule) => [rule, []]));
    // A fifth first: the summary is about it, and the curves grow around it.
    const done = (): Curves => ({
      slots,
      results: Object.fromEntries(RULES.map((rule) => [rule, results[rule]!.slice()])),
      experts,
      decodeTokens: visits.decodeTokens,
    });
    for (const size of [FIFTH, ...SIZES.keys()].filter((at, i, all) => all.indexOf(at) === i)) {
      for (const policy of RULES)
        results[policy]![size] = await replayAside(visits, { policy, capacity: { slots: slots[size]! } });
      yield done();
    }
  },
  figure: (curves, { state: { show }, width, say }) =>
    plotView({
      label: `Cache rules: ${SHOWN.find(([name]) => name === show)![1]} by share of experts with a slot`,
      x: SIZES,
      xTitle: 'share of experts that have a slot',
      yTitle: SHOWN.find(([name]) => name === show)![1],
      xWords: (share) => percent(share, 0),
      yWords: (value) => (show === 'bytes' ? bytesWords(value) : percentTick(value)),
      series: [
        ...RULES.map((rule, i) => ({
          label: ruleName(rule),
          as: 'line' as const,
          colour: HUES[i]!,
          y: SIZES.map((_, size) => valueOf(show, curves, rule, size)),
        })),
        ...(show === 'answer' || show === 'all'
          ? [{ label: 'chance', as: 'line' as const, dashed: true, colour: HUES[7], y: SIZES }]
          : []),
      ],
      describe: (size) =>
        `${percent(SIZES[size]!, 0)} of the experts (${curves.slots[size]} slots): ${RULES.map(
          (rule) => `${ruleName(rule)} ${worded(show, valueOf(show, curves, rule, size))}`,
        ).join(', ')}`,
      width,
      height: 260,
      say,
    }),
  summary: ({ decodeTokens, experts, results }) =>
    `${count(decodeTokens, 'token')} of answers, ${count(experts, 'expert')} over all layers; a fifth of them in slots: next-use ${percent(
      results['next-use']![FIFTH]!.decodeHitRate,
    )}, Belady ${percent(results.belady![FIFTH]!.decodeHitRate)}, chance 20 %.${
      SIZES.every((_, size) => results.belady![size]) ? '' : ' The other sizes are still being computed.'
    }`,
  table: ({ slots, results }) => ({
    caption: 'Replays of this trace.',
    columns: ['rule', 'share of experts', 'slots', 'hit rate, answer', 'hit rate, all', 'bytes a token', 'of Belady'],
    rows: RULES.flatMap((rule) =>
      SIZES.map((share, size) => {
        const result = results[rule]![size];
        const best = results.belady![size]?.decodeHitRate;
        return [
          rule,
          share,
          slots[size]!,
          result?.decodeHitRate ?? null,
          result?.hitRate ?? null,
          result?.decodeBytesPerToken ?? null,
          result && best ? result.decodeHitRate / best : null,
        ];
      }),
    ),
  }),
};
