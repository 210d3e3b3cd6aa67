/** Hits, misses and waiting, step by step. */
import {
  CACHE_STATE,
  cacheControls,
  cacheSteps,
  isCacheRecorded,
  replayProvenance,
  ruleName,
  type CacheState,
  type CacheSteps,
} from '../cache.ts';
import { plotView } from '../figures/plot.ts';
import { HUES } from '../ramps.ts';
import type { Context, View } from '../view.ts';
import { bytesWords, count, percent, percentTick, short } from '../words.ts';

interface Timeline {
  readonly cache: CacheSteps;
  /** Steps that are shown, and the first token of each. */
  readonly steps: readonly number[];
  readonly firstTokens: readonly number[];
}

/** Steps that the selection leaves, with their first tokens. */
function shownSteps({ trace, selection: { phase, chat, range } }: Context<CacheState>): Omit<Timeline, 'cache'> {
  const steps: number[] = [];
  const firstTokens: number[] = [];
  let token = 0;
  trace.steps.forEach((step, i) => {
    const isIn =
      (phase === null || step.phase === phase) &&
      (chat === null || step.chat === chat) &&
      (range === null || (token >= range[0] && token < range[1]));
    if (isIn) {
      steps.push(i);
      firstTokens.push(token);
    }
    token += step.tokens;
  });
  return { steps, firstTokens };
}

const rate = (hits: number, needed: number): number => (needed ? hits / needed : NaN);
const total = (values: ArrayLike<number>, steps: readonly number[]): number =>
  steps.reduce((sum, step) => sum + values[step]!, 0);

export const cacheTimeline: View<Timeline, CacheState> = {
  question: 'When did it have to wait for experts?',
  reading:
    'Each point is a step; the line is the share of its experts that were already on the graphics card. Select a point to look at its token; “zoom” keeps the steps around it.',
  method: [
    'Hits are counted by distinct experts of a step and layer. A trace of a model whose experts did not all fit has what really happened; for any other trace the chosen rule is replayed with the chosen number of slots, starting empty, and the view is a simulation.',
    'Chance: with routing at random, the share of experts that have a slot.',
  ],
  axes: ['phase', 'chat'],
  state: CACHE_STATE,
  heavy: true,
  provenance: ({ trace }) => (isCacheRecorded(trace) ? (trace.provenance ?? null) : replayProvenance(trace)),
  controls: ({ trace, selection, brush }) => [
    ...(isCacheRecorded(trace) ? [] : cacheControls),
    {
      kind: 'action',
      label: 'Zoom',
      disabled: selection.token === null,
      run: () => {
        const at = selection.token ?? 0;
        brush.select({ range: [Math.max(0, at - 32), at + 32] });
      },
    },
    {
      kind: 'action',
      label: 'All tokens',
      disabled: selection.range === null,
      run: () => brush.select({ range: null }),
    },
  ],
  compute: async (context) => ({ cache: await cacheSteps(context.trace, context.state), ...shownSteps(context) }),
  figure: ({ cache, steps, firstTokens }, { trace, state: { share }, selection, brush, width, say }) => {
    const cursor = selection.token === null ? -1 : firstTokens.findLastIndex((token) => token <= selection.token!);
    return plotView({
      label: `Share of experts that were there, by step${cache.isRecorded ? '' : ' (simulation)'}`,
      xTitle: 'step',
      yTitle: cache.isRecorded ? 'hit rate' : 'hit rate (simulation)',
      yDomain: [0, 1],
      yWords: percentTick,
      x: steps,
      series: [
        { label: 'hits', as: 'line', y: steps.map((step) => rate(cache.hits[step]!, cache.needed[step]!)) },
        ...(cache.isRecorded
          ? [
              {
                label: 'prefetched',
                as: 'line' as const,
                colour: HUES[1]!,
                y: steps.map((step) => rate(cache.prefetched[step]!, cache.needed[step]!)),
              },
            ]
          : [{ label: 'chance', as: 'line' as const, dashed: true, colour: HUES[7]!, y: steps.map(() => share) }]),
      ],
      cursor: cursor < 0 ? null : cursor,
      describe: (i) => {
        const step = steps[i]!;
        const waited = trace.timing ? `, ${short(trace.timing.stallMs[step]!)} ms waiting` : '';
        return `step ${step} (${trace.steps[step]!.phase === 'decode' ? 'answer' : 'prompt'}): ${cache.hits[step]} of ${
          cache.needed[step]
        } experts were there, ${bytesWords(cache.bytes[step]!)} read${waited}`;
      },
      select: (i) => brush.select({ token: firstTokens[i]! }),
      width,
      say,
    });
  },
  summary: ({ cache, steps }, { state: { policy, share } }) =>
    `${cache.isRecorded ? 'As recorded' : `Simulation: ${ruleName(policy)} with ${percent(share, 0)} of the experts in slots`}. ${count(
      steps.length,
      'step',
    )}, hit rate ${percent(rate(total(cache.hits, steps), total(cache.needed, steps)))}, ${bytesWords(
      total(cache.bytes, steps),
    )} read${cache.isRecorded ? '' : `; chance ${percent(share, 0)}`}.`,
  table: ({ cache, steps, firstTokens }, { trace }) => ({
    caption: cache.isRecorded ? 'As recorded.' : 'A simulation.',
    columns: ['step', 'phase', 'first token', 'experts needed', 'hits', 'prefetched', 'bytes', 'waiting ms'],
    rows: steps.map((step, i) => [
      step,
      trace.steps[step]!.phase,
      firstTokens[i]!,
      cache.needed[step]!,
      cache.hits[step]!,
      cache.prefetched[step]!,
      cache.bytes[step]!,
      trace.timing?.stallMs[step] ?? null,
    ]),
  }),
};
