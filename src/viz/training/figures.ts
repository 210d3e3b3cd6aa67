/** The figures of a training run: the plane in colours, curves over the steps, the load. */
import { html, type TemplateResult } from 'lit';
import { matrixView } from '../figures/matrix.ts';
import { plotView, type Plot, type Series } from '../figures/plot.ts';
import { HUES, hues, viridis } from '../ramps.ts';
import type { TrainingStep } from '../training.ts';
import type { Context } from '../view.ts';
import { count, percent, short } from '../words.ts';
import type { Seen, Training, TrainingState } from './data.ts';
import type { Looked, Progress } from './lesson.ts';
import { placeOf } from './trace.ts';

/** The load is shown as the mean of so many steps. */
const BIN = 10;

type Part = Context<TrainingState>;

/** The plane in colours. @param seen null: the regions that are to be learned */
export function mapView(
  { regions }: Training,
  { width, say }: Part,
  values: ArrayLike<number>,
  seen: Seen | null,
): TemplateResult {
  const { side, labels } = regions;
  const kinds = seen ? seen.look.logits.length / labels.length : regions.count;
  /** Of every sixth row and column, so that they are the same ones at any width. */
  const tick = (i: number, value: number): string => (i % 6 === 0 ? String(Math.round(10 * value) / 10 + 0) : '');
  const kind = seen ? 'expert' : 'region';
  return html`<h4>${seen ? `Who answers, after ${count(seen.at, 'step')}` : 'What is to be learned'}</h4>
    ${matrixView({
      rows: side,
      columns: side,
      values,
      ramp: seen ? hues : viridis,
      domain: [0, seen ? HUES.length - 1 : regions.count - 1],
      classes: Array.from({ length: kinds }, (_, i) => i),
      label: seen ? 'First expert of each point of the plane' : 'Regions of the plane, each with a rule of its own',
      rowLabel: (row) => tick(row, placeOf(row * side, regions)[1]),
      columnLabel: (column) => tick(column, placeOf(column, regions)[0]),
      rowTitle: 'v, u →',
      columnTitle: 'u',
      legend: (value) => `${kind} ${value}`,
      describe: ({ row, column }) => {
        const i = row * side + column;
        const [u, v] = placeOf(i, regions);
        return `u ${short(u)}, v ${short(v)}: region ${labels[i]}${seen ? `, ${answerWords(seen, i, labels.length)}` : ''}`;
      },
      cursor: null,
      width,
      maxCell: Math.floor((width - 46) / side),
      say,
      select: () => undefined,
    })}`;
}

function answerWords({ look: { experts, weights } }: Looked, square: number, squares: number): string {
  const topK = experts.length / squares;
  return Array.from({ length: topK }, (_, k) => square * topK + k)
    .map((i) => `expert ${experts[i]} with ${percent(weights[i]!, 0)}`)
    .join(', ');
}

export function answersView(data: Training, context: Part): TemplateResult {
  const seen = data.seen.at(-1);
  if (!seen) return html``;
  const topK = seen.look.experts.length / data.regions.labels.length;
  return mapView(
    data,
    context,
    Float64Array.from(data.regions.labels, (_, i) => seen.look.experts[i * topK]!),
    seen,
  );
}

/** Where curves have points: at 0, and after each bin. Over all steps, so that axes stand still. */
const pointsOf = ({ trainer }: Training): readonly number[] =>
  Array.from({ length: Math.ceil(trainer.steps / BIN) + 1 }, (_, i) => Math.min(trainer.steps, i * BIN));

/** Mean of each bin's steps; NaN where nothing is yet. */
function means(data: Training, of: (step: TrainingStep) => number): readonly number[] {
  return pointsOf(data).map((_, i) => {
    const steps = data.progress.steps.slice((i - 1) * BIN, i * BIN);
    return i === 0 ? NaN : steps.reduce((sum, step) => sum + of(step), 0) / steps.length;
  });
}

const level = (data: Training, value: number | null, from = 0): readonly number[] =>
  pointsOf(data).map((at) => (value === null || at < from ? NaN : value));

type Curve = Pick<Plot, 'yTitle' | 'series' | 'yDomain'> & {
  readonly title: string;
  /** @param at index of the point */
  readonly says: (at: number) => string;
};

function curveView(data: Training, { width, say }: Part, { title, says, ...plot }: Curve): TemplateResult {
  const x = pointsOf(data);
  const isKnown = (at: number): boolean => at > 0 && x[at - 1]! < data.progress.steps.length;
  return html`<h4>${title}</h4>
    ${plotView({
      ...plot,
      label: title,
      xTitle: 'training step',
      yWords: short,
      x,
      marks: [{ x: data.trainer.denseSteps, label: 'copied into experts' }],
      describe: (at) => `step ${x[at]}: ${isKnown(at) ? says(at) : 'not trained yet'}`,
      width,
      say,
    })}`;
}

const dashed = (label: string, y: readonly number[]): Series => ({
  label,
  as: 'line',
  dashed: true,
  colour: HUES[7],
  y,
});

export function errorView(data: Training, context: Part): TemplateResult {
  const y = means(data, ({ error }) => error);
  return curveView(data, context, {
    title: 'How wrong it is',
    yTitle: 'squared error',
    series: [
      { label: `mean of ${BIN} steps`, as: 'line', y },
      dashed('dense, at its end', level(data, data.progress.denseError, data.trainer.denseSteps)),
    ],
    says: (at) => `error ${short(y[at]!)}`,
  });
}

export function informationView(data: Training, context: Part): TemplateResult {
  const bits = new Map(data.seen.map(({ at, information }) => [at, information.bits]));
  const y = pointsOf(data).map((at) => bits.get(at)?.value ?? NaN);
  const chance = pointsOf(data).map((at) => bits.get(at)?.chance?.mean ?? NaN);
  return curveView(data, context, {
    title: 'What an expert tells of its region',
    yTitle: 'bits',
    yDomain: [0, 1.2 * data.all],
    series: [
      { label: 'first expert', as: 'line', y },
      { label: 'by chance', as: 'points', colour: HUES[7], y: chance },
      dashed('all there is', level(data, data.all)),
    ],
    says: (at) => `${short(y[at]!)} of ${short(data.all)} bits, by chance ${short(chance[at]!)}`,
  });
}

export function balanceView(data: Training, context: Part): TemplateResult {
  const y = means(data, ({ balance }) => balance);
  return curveView(data, context, {
    title: 'Balance loss',
    yTitle: 'E Σ f P',
    yDomain: [1, 1.5],
    series: [{ label: `mean of ${BIN} steps`, as: 'line', y }, dashed('all alike', level(data, 1))],
    says: (at) => `balance loss ${short(y[at]!)}`,
  });
}

export function loadView({ trainer, progress: { steps }, settings }: Training, { width, say }: Part): TemplateResult {
  const bins = Math.ceil(trainer.steps / BIN);
  const shares = sharesOf(steps, settings.experts, bins);
  return html`<h4>Load: share of the choices</h4>
    ${matrixView({
      rows: settings.experts,
      columns: bins,
      values: shares,
      ramp: viridis,
      domain: [0, Math.max(2 / settings.experts, ...shares.filter((share) => share < 1))],
      label: 'Share of the choices of each expert over training steps',
      rowLabel: String,
      columnLabel: (bin) => String(bin * BIN),
      rowTitle: 'expert',
      columnTitle: 'training step',
      legend: (value) => percent(value, 0),
      describe: ({ row, column }) =>
        `expert ${row}, steps ${column * BIN + 1} to ${(column + 1) * BIN}: ${percent(shares[row * bins + column]!)} of the choices`,
      cursor: null,
      width,
      say,
      select: () => undefined,
    })}`;
}

/** Mean over the steps of each bin, [E, bins]; NaN where nothing is yet. */
function sharesOf(steps: Progress['steps'], experts: number, bins: number): Float64Array {
  const shares = new Float64Array(experts * bins).fill(NaN);
  for (let bin = 0; bin * BIN < steps.length; bin++) {
    const within = steps.slice(bin * BIN, (bin + 1) * BIN);
    for (let e = 0; e < experts; e++) {
      const share = ({ loads }: Progress['steps'][number]): number =>
        (loads[e] ?? NaN) / loads.reduce((sum, load) => sum + load, 0);
      shares[e * bins + bin] = within.reduce((sum, step) => sum + share(step), 0) / within.length;
    }
  }
  return shares;
}
