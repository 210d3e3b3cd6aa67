/** A dense layer that becomes a mixture of experts, and a router that learns who knows what: trained while one watches. */
import { html, type TemplateResult } from 'lit';
import { several, widthOfEach } from '../figures/several.ts';
import { controlsOf } from '../training/controls.ts';
import { isSeed, rest, trained, trainerOf, type Training, type TrainingState } from '../training/data.ts';
import { answersView, balanceView, errorView, informationView, loadView, mapView } from '../training/figures.ts';
import type { View } from '../view.ts';
import { count, percent, short } from '../words.ts';

export const training: View<Training, TrainingState> = {
  question: 'How do experts come to know different things?',
  reading:
    'A small layer learns four rules, one for each region of a plane, in this tab. First it is dense; then it is copied into experts, and a router learns whom to ask where: colours are experts, and they come to follow the regions.',
  method: [
    'The layer is webmoe/layer, forward and backward on the graphics card: 9 values in (1, the two coordinates, three waves), SwiGLU experts of width 4, squared error of 3 values out. In each region they are another linear map of the input, too much for one expert. Adam, 256 points a step; 100 steps dense, then each expert begins as its copy (sparse upcycling, Komatsuzaki et al. 2023) and the router from random weights.',
    'The weights of K > 1 experts are divided by their sum; a single one keeps its probability, as in Switch (Fedus et al. 2021), so that the error jumps when it is copied. Balance loss: weight · E Σ f P, 1 when all experts get the same.',
    'What an expert tells of its region is the mutual information of the first expert and the region over all squares of the plane. The chance level is that of independent labels; an untrained router is above it, because squares that lie together look alike to it, too: compare with the start of the experts.',
    'Nothing is drawn but by the seed: the same settings give the same run, bit by bit on the same device. A link brings back settings and step.',
  ],
  needsNoTrace: true,
  extra: ['trainer'],
  provenance: (context) => {
    const trainer = trainerOf(context);
    return trainer && { kind: 'live', note: trainer.name };
  },
  state: { experts: 8, topK: 2, balance: 0.01, seed: '1', steps: 0 },
  lacks: (_, context) => {
    if (!trainerOf(context)) return 'Nothing here can train: the page gives this view no trainer.';
    return isSeed(context.state.seed) ? null : 'The seed is a whole number of up to nine digits.';
  },
  controls: controlsOf,
  compute: (context) => trained(context, trainerOf(context)!),
  figure: (data, context) => {
    const { progress, regions, settings } = data;
    const width = widthOfEach(context.width, 2);
    return html`${statusOf(data)}
    ${several(
      [
        mapView(data, { ...context, width }, regions.labels, null),
        ...(progress.steps.length > 0
          ? [
              answersView(data, { ...context, width }),
              errorView(data, { ...context, width }),
              informationView(data, { ...context, width }),
              loadView(data, { ...context, width }),
              ...(settings.experts > 1 ? [balanceView(data, { ...context, width })] : []),
            ]
          : []),
      ],
      2,
    )}`;
  },
  summary: summaryOf,
  table: ({ progress: { steps }, seen, settings, trainer }) => {
    const looks = new Map(seen.map((look) => [look.at, look]));
    return {
      caption: 'Every step; what was seen of the plane stands where it was looked at.',
      columns: [
        'step',
        'layer',
        'error of the batch',
        'error over the plane',
        'bits of the region',
        'balance loss',
        ...Array.from({ length: settings.experts }, (_, e) => `load of ${e}`),
      ],
      rows: steps.map(({ error, balance, loads }, i) => {
        const look = looks.get(i + 1);
        return [
          i + 1,
          i < trainer.denseSteps ? 'dense' : 'experts',
          error,
          look?.look.error ?? '',
          look?.information.bits.value ?? '',
          balance,
          ...Array.from({ length: settings.experts }, (_, e) => loads[e] ?? 0),
        ];
      }),
    };
  },
  leave: rest,
};

function statusOf({ progress: { isOpening, problem, done }, isIdle }: Training): TemplateResult {
  if (problem !== null) return html`<p role="alert">${problem}</p>`;
  if (isOpening) return html`<p role="status">Preparing the graphics card…</p>`;
  return done === 0 && isIdle
    ? html`<p class="note">These regions are to be learned. Start trains the layer.</p>`
    : html``;
}

function summaryOf(data: Training): string {
  const { trainer, regions, settings, progress, seen, all } = data;
  const { denseError } = progress;
  const task = `${count(regions.labels.length, 'square')} in ${regions.count} regions, seed ${settings.seed}`;
  const last = seen.at(-1);
  if (!last) return `${task}. Not trained yet; by chance an expert tells 0 of ${short(all)} bits of a square’s region.`;
  const { bits } = last.information;
  const error = `error over the plane ${short(last.look.error)}`;
  const of = `${task}. Step ${progress.steps.length} of ${trainer.steps}: ${error}`;
  if (last.at < trainer.denseSteps || denseError === null)
    return `${of}. One dense layer still: by chance or not, it tells nothing of a region.`;
  const start = seen.find(({ at }) => at >= trainer.denseSteps)!;
  const loads = progress.steps.at(-1)!.loads;
  const busiest = Math.max(...loads) / loads.reduce((sum, load) => sum + load, 0);
  return `${of} (dense ${short(denseError)}). The first expert tells ${short(bits.value)} of ${short(all)} bits of a square’s region; just copied ${short(
    start.information.bits.value,
  )}, by chance ${short(bits.chance?.mean ?? 0)}. Busiest expert ${percent(busiest, 0)} of the choices (even: ${percent(1 / settings.experts, 0)}).`;
}
