/** A gate while it learns. */
import { matrixView } from '../figures/matrix.ts';
import { plotView } from '../figures/plot.ts';
import { GATE_BATCH, GATE_EXPERTS, simulateGate, type GateKind, type GateRun } from '../gate-simulation.ts';
import { HUES, viridis } from '../ramps.ts';
import type { View } from '../view.ts';
import { percent, short } from '../words.ts';
import { html } from 'lit';

const KINDS = ['top-1', 'top-2', 'noisy top-2', 'expert choice'] as const satisfies readonly GateKind[];
const STEPS = 400;
/** The load is shown as the mean of so many steps. */
const BIN = 10;
const BINS = STEPS / BIN;
/** Steps of the simulation a frame while it plays. */
const PER_FRAME = 2;

interface SimulationState extends Readonly<Record<string, string | number>> {
  readonly kind: GateKind;
  readonly capacity: number;
  readonly balance: number;
  readonly z: number;
  readonly seed: number;
  readonly step: number;
}

interface Simulation extends GateRun {
  /** Mean share of each expert in each bin, [E, BINS]. */
  readonly bins: Float64Array;
  /** Mean over the last quarter. */
  readonly late: { readonly error: number; readonly dropped: number; readonly cv2: number; readonly busiest: number };
}

/** CV² that draws with equal chances give: (E - 1) / (B k), for k independent choices. */
const chanceCv2 = (kind: GateKind): number =>
  kind === 'expert choice'
    ? 0
    : (GATE_EXPERTS - (kind === 'top-1' ? 1 : 2)) / (GATE_BATCH * (kind === 'top-1' ? 1 : 2));

function simulation({ kind, capacity, balance, z, seed }: SimulationState): Simulation {
  const run = simulateGate({ kind, capacityFactor: capacity, balance, zLoss: z, seed, steps: STEPS });
  const bins = new Float64Array(GATE_EXPERTS * BINS);
  run.load.forEach((share, i) => {
    const step = Math.floor(i / GATE_EXPERTS);
    bins[(i % GATE_EXPERTS) * BINS + Math.floor(step / BIN)]! += share / BIN;
  });
  const from = STEPS - STEPS / 4;
  const mean = (values: Float64Array): number => values.subarray(from).reduce((a, b) => a + b, 0) / (STEPS - from);
  const busiest = Math.max(...Array.from({ length: GATE_EXPERTS }, (_, e) => bins[e * BINS + BINS - 1]!));
  return {
    ...run,
    bins,
    late: { error: mean(run.error), dropped: mean(run.dropped), cv2: mean(run.cv2), busiest },
  };
}

let playing: ReturnType<typeof requestAnimationFrame> | null = null;
let playedSteps = 0;

export const gateSimulation: View<Simulation, SimulationState> = {
  question: 'How does a gate learn to share the work?',
  reading:
    'A simulation: eight small experts learn eight kinds of points. Above, the share of the work that each expert gets as training goes on; below, what it costs.',
  method: [
    'Each step draws 64 points of eight clusters (the first ones more frequent) and fits the gated sum of linear experts to a linear map for each cluster, by plain gradient descent on squared error + weight · E · Σ f P (Switch, Fedus et al. 2021) + weight · mean (log Σ exp z)² (ST-MoE, Zoph et al. 2022).',
    'top-1 as in Switch; top-2 as in GShard without its random second expert; noisy top-2 adds normal noise of spread softplus(0) to the logits that choose (Shazeer et al. 2017); expert choice lets each expert take its best tokens (Zhou et al. 2022). A full expert (capacity = ⌈factor · 64 · k / 8⌉) turns later tokens away.',
    'No language model runs here and nothing was recorded: it shows mechanisms, not magnitudes. Chance: CV² of draws with equal probabilities.',
  ],
  needsNoTrace: true,
  provenance: () => ({ kind: 'simulation', note: 'No model runs here.' }),
  state: { kind: 'top-1', capacity: 1.25, balance: 0.01, z: 0, seed: 1, step: STEPS - 1 },
  controls: ({ state, set }) => [
    { kind: 'choice', name: 'kind', label: 'Gate', options: KINDS.map((kind) => [kind, kind]) },
    {
      kind: 'range',
      name: 'capacity',
      label: 'Capacity factor',
      min: 0,
      max: 4,
      step: 0.25,
      format: (value) => (value === 0 ? 'no limit' : String(value)),
    },
    { kind: 'range', name: 'balance', label: 'Balance loss', min: 0, max: 0.5, step: 0.01 },
    { kind: 'range', name: 'z', label: 'z-loss', min: 0, max: 0.1, step: 0.001 },
    { kind: 'range', name: 'seed', label: 'Seed', min: 1, max: 20, step: 1 },
    { kind: 'range', name: 'step', label: 'Step', min: 0, max: STEPS - 1, step: 1 },
    { kind: 'action', label: 'Play', run: () => play(set) },
    { kind: 'action', label: 'One step', run: () => set({ step: Math.min(STEPS - 1, state.step + 1) }) },
    { kind: 'action', label: 'To the end', run: () => (stop(), set({ step: STEPS - 1 })) },
  ],
  compute: ({ state }) => remembered(state),
  figure: (run, { state: { step, kind }, width, say, set }) => {
    const shown = Math.floor(step / BIN) + 1;
    const until = (values: Float64Array): Float64Array => values.subarray(0, step + 1);
    return html`${matrixView({
      rows: GATE_EXPERTS,
      columns: BINS,
      values: run.bins.map((value, i) => (i % BINS < shown ? value : NaN)),
      ramp: viridis,
      domain: [0, Math.max(0.25, run.late.busiest)],
      label: 'Share of the work of each expert over training steps (simulation)',
      rowLabel: String,
      columnLabel: (bin) => String(bin * BIN),
      rowTitle: 'expert',
      columnTitle: 'training step',
      legend: (value) => percent(value, 0),
      describe: ({ row, column }) =>
        `expert ${row}, steps ${column * BIN} to ${column * BIN + BIN - 1}: ${percent(run.bins[row * BINS + column]!)} of the work`,
      cursor: null,
      width,
      say,
      select: ({ column }) => set({ step: Math.min(STEPS - 1, column * BIN + BIN - 1) }),
    })}
    ${plotView({
      label: 'Costs over training steps (simulation)',
      xTitle: 'training step',
      yTitle: 'per step',
      yWords: short,
      series: [
        { label: 'error', as: 'line', y: until(run.error) },
        { label: 'dropped', as: 'line', colour: HUES[5], y: until(run.dropped) },
        { label: 'CV² of load', as: 'line', colour: HUES[0], y: until(run.cv2) },
        {
          label: 'CV² by chance',
          as: 'line',
          dashed: true,
          colour: HUES[7],
          y: until(run.cv2).map(() => chanceCv2(kind)),
        },
      ],
      x: Array.from({ length: step + 1 }, (_, i) => i),
      describe: (i) =>
        `step ${i}: error ${short(run.error[i]!)}, dropped ${percent(run.dropped[i]!)}, CV² ${short(run.cv2[i]!)}, balance loss ${short(
          run.balance[i]!,
        )}, z-loss ${short(run.zLoss[i]!)}`,
      cursor: step,
      width,
      say,
      select: (i) => set({ step: i }),
    })}`;
  },
  summary: ({ late }, { state: { kind } }) =>
    `Simulation, ${STEPS} steps of ${GATE_BATCH} points. Last quarter: error ${short(late.error)}, dropped ${percent(
      late.dropped,
    )}, CV² ${short(late.cv2)} (chance ${short(chanceCv2(kind))}), busiest expert ${percent(late.busiest)} of the work (even: ${percent(
      1 / GATE_EXPERTS,
    )}).`,
  table: (run) => ({
    caption: 'Every step of the simulation.',
    columns: [
      'step',
      'error',
      'dropped',
      'balance loss',
      'CV²',
      'z-loss',
      ...Array.from({ length: GATE_EXPERTS }, (_, e) => `load of ${e}`),
    ],
    rows: Array.from(run.error, (error, step) => [
      step,
      error,
      run.dropped[step]!,
      run.balance[step]!,
      run.cv2[step]!,
      run.zLoss[step]!,
      ...run.load.subarray(step * GATE_EXPERTS, (step + 1) * GATE_EXPERTS),
    ]),
  }),
};

/** Only the step changes while it plays. */
let last: { readonly key: string; readonly run: Simulation } | null = null;
function remembered(state: SimulationState): Simulation {
  const key = JSON.stringify({ ...state, step: 0 });
  if (last?.key !== key) last = { key, run: simulation(state) };
  return last.run;
}

function stop(): void {
  if (playing !== null) cancelAnimationFrame(playing);
  playing = null;
}

function play(set: (change: Partial<SimulationState>) => void): void {
  stop();
  playedSteps = 0;
  const frame = (): void => {
    playedSteps += PER_FRAME;
    set({ step: Math.min(STEPS - 1, playedSteps) });
    playing = playedSteps < STEPS ? requestAnimationFrame(frame) : null;
  };
  playing = requestAnimationFrame(frame);
}
