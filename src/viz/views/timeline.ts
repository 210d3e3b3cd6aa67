/** Time and bytes of each step. */
import type { Trace, TraceTiming } from '../../trace/trace.ts';
import { chromeTrace, sendToPerfetto } from '../perfetto.ts';
import { plotView } from '../figures/plot.ts';
import { save } from '../export.ts';
import { HUES } from '../ramps.ts';
import type { View } from '../view.ts';
import { bytesWords, count, short } from '../words.ts';

interface Lane {
  readonly steps: readonly number[]; // indices
  readonly tokens: readonly number[];
  readonly ms: readonly number[]; // a token
  readonly stallMs: readonly number[]; // a token
  readonly bytes: readonly number[]; // a token
}
type Phase = 'prefill' | 'decode';
type Lanes = Readonly<Record<Phase, Lane>>;

const SHOWN = [
  ['ms', 'time a token'],
  ['bytes', 'bytes read a token'],
] as const;

/** `850 ms`, `9.2 s` */
const duration = (ms: number): string => (ms < 1000 ? `${short(ms)} ms` : `${short(ms / 1000)} s`);

interface TimelineState extends Readonly<Record<string, string>> {
  readonly show: (typeof SHOWN)[number][0];
  readonly lane: Phase;
}

function laneOf({ steps, timing }: Trace, phase: Phase): Lane {
  const { ms, stallMs, diskBytes, networkBytes } = timing as TraceTiming;
  const mine = steps.flatMap((step, i) => (step.phase === phase ? [i] : []));
  const perToken = (value: (i: number) => number): number[] => mine.map((i) => value(i) / steps[i]!.tokens);
  return {
    steps: mine,
    tokens: mine.map((i) => steps[i]!.tokens),
    ms: perToken((i) => ms[i]!),
    stallMs: perToken((i) => stallMs[i]!),
    bytes: perToken((i) => diskBytes[i]! + networkBytes[i]!),
  };
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
/** Tokens a second of a lane, by the whole time of its steps; those that nobody measured (NaN) are left out. */
export function speedOf({ ms, tokens }: Pick<Lane, 'ms' | 'tokens'>): number {
  const known = [...ms.keys()].filter((i) => !Number.isNaN(ms[i]));
  return (1000 * sum(known.map((i) => tokens[i]!))) / (sum(known.map((i) => ms[i]! * tokens[i]!)) || NaN);
}

export const timeline: View<Lanes, TimelineState> = {
  question: 'Where did the time go?',
  reading:
    'Each point is a step: a token of the answer, or a piece of the prompt. What it waited for experts is drawn below.',
  method: [
    'Measured by the engine around each step, and divided by the step’s tokens. Waiting is the part of it in which the GPU had nothing to do because experts were on their way.',
    'Chance does not enter here: these are measurements of one machine at one time.',
  ],
  state: { show: 'ms', lane: 'decode' },
  lacks: ({ timing }) =>
    timing ? null : 'This trace has no times. Traces of a live model have them, and `webmoe trace record` writes them.',
  controls: ({ trace }) => [
    {
      kind: 'choice',
      name: 'lane',
      label: 'Tokens',
      options: [
        ['decode', 'answer'],
        ['prefill', 'prompt'],
      ],
    },
    { kind: 'choice', name: 'show', label: 'Show', options: SHOWN },
    {
      kind: 'action',
      label: 'Save as a Chrome trace',
      run: () => save('webmoe-steps.json', chromeTrace(trace), 'application/json'),
    },
    {
      kind: 'action',
      label: 'Open in Perfetto (sends the times to ui.perfetto.dev)',
      run: () => sendToPerfetto(trace),
    },
  ],
  compute: ({ trace }) => ({ prefill: laneOf(trace, 'prefill'), decode: laneOf(trace, 'decode') }),
  figure: (lanes, { state: { show, lane: phase }, width, say }) => {
    const lane = lanes[phase];
    return plotView({
      label: `${phase === 'decode' ? 'Answer' : 'Prompt'}: ${show === 'ms' ? 'time' : 'bytes'} of each step`,
      xTitle: phase === 'decode' ? 'token of the answer' : 'piece of the prompt',
      yTitle: SHOWN.find(([name]) => name === show)![1],
      yWords: (value) => (show === 'ms' ? duration(value) : bytesWords(value)),
      series:
        show === 'ms'
          ? [
              { label: 'all', as: 'line', y: lane.ms },
              { label: 'waiting for experts', as: 'line', colour: HUES[5], y: lane.stallMs },
            ]
          : [{ label: 'read', as: 'line', y: lane.bytes }],
      describe: (i) =>
        `step ${lane.steps[i]} (${count(lane.tokens[i]!, 'token')}): ${duration(lane.ms[i]!)} a token, ${duration(
          lane.stallMs[i]!,
        )} of it waiting, ${bytesWords(lane.bytes[i]!)} read`,
      width,
      say,
    });
  },
  summary: ({ prefill, decode }) =>
    `Prompt: ${count(sum(prefill.tokens), 'token')}, ${short(speedOf(prefill))} a second. Answer: ${count(
      decode.steps.length,
      'token',
    )}, ${short(speedOf(decode))} a second. One run on one machine: no chance level.`,
  table: (lanes) => ({
    caption: 'Every step.',
    columns: ['phase', 'step', 'tokens', 'ms a token', 'waiting ms a token', 'bytes a token'],
    rows: (['prefill', 'decode'] as const).flatMap((phase) =>
      lanes[phase].steps.map((step, i) => [
        phase,
        step,
        lanes[phase].tokens[i]!,
        lanes[phase].ms[i]!,
        lanes[phase].stallMs[i]!,
        lanes[phase].bytes[i]!,
      ]),
    ),
  }),
};
