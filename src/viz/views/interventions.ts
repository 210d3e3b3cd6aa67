/** Change the routing of a loaded model and see what changes. */
import { html, nothing, type TemplateResult } from 'lit';
import { Experiment, type Changes, type Runner, type Trials } from '../experiment.ts';
import { plotView } from '../figures/plot.ts';
import { HUES } from '../ramps.ts';
import type { Context, View } from '../view.ts';
import { count, expertName, percent, percentTick, short, tokenName } from '../words.ts';

const KINDS = [
  ['mask', 'switch this expert off'],
  ['force', 'always take this expert'],
  ['bias', 'add to its selection score'],
  ['topK', 'fewer experts a token'],
  ['top1', 'the first expert alone'],
] as const;
type Kind = (typeof KINDS)[number][0];

interface InterventionState extends Readonly<Record<string, string | number>> {
  readonly prompt: string;
  readonly kind: Kind;
  readonly layer: number;
  readonly expert: number;
  readonly bias: number;
  readonly topK: number;
  readonly tokens: number;
}

/** Results belong to a model, whatever element shows them. */
const experiments = new WeakMap<Runner, Experiment>();
function experimentOf(runner: Runner): Experiment {
  const known = experiments.get(runner);
  if (known) return known;
  const made = new Experiment(runner);
  experiments.set(runner, made);
  return made;
}

const runnerOf = ({ extra }: Pick<Context<InterventionState>, 'extra'>): Runner | null =>
  (extra.runner as Runner | null | undefined) ?? null;

function changesOf({ kind, layer, expert, bias, topK }: InterventionState): readonly [Changes, string] {
  const name = expertName(layer, expert);
  const of: Readonly<Record<Kind, readonly [Changes, string]>> = {
    mask: [{ mask: [[layer, expert]] }, `${name} switched off`],
    force: [{ force: [[layer, expert]] }, `${name} always taken`],
    bias: [{ routerBias: [[layer, expert, bias]] }, `${short(bias)} added to ${name}`],
    topK: [{ topK }, `${count(topK, 'expert')} a token`],
    top1: [{ topK: 1 }, 'the first expert alone'],
  };
  return of[kind];
}

export const interventions: View<Experiment, InterventionState> = {
  question: 'Does it matter who answers?',
  reading:
    'The same prompt twice, once with the routing changed: how far the next token’s probabilities move, and how the likeliest text goes on.',
  method: [
    'Distance is the Kullback-Leibler divergence Σ p ln(p/q) of the next token in nats, p without and q with the change, from the model’s own logits in doubles; 0 means that nothing changed at all. Below ln 2 ≈ 0.69 lies what one coin toss tells.',
    'A change holds for all tokens of prompt and answer; “each other expert for the last token” changes that token alone. Forcing puts an expert in place of the weakest chosen; biases are added to what selects, not to what weighs. Texts are greedy, so that they differ for no other reason.',
    'Unlike the other views this one does not observe but intervene: for this prompt, the change is the cause. The level of chance is 0: the same run twice gives the same bits.',
  ],
  needsNoTrace: true,
  provenance: (context) => {
    const runner = runnerOf(context);
    return runner && { kind: 'live', note: runner.name };
  },
  extra: ['runner'],
  state: {
    prompt: 'What is the capital of France?',
    kind: 'mask',
    layer: 0,
    expert: 0,
    bias: 0.5,
    topK: 4,
    tokens: 16,
  },
  lacks: (_, context) =>
    runnerOf(context)
      ? null
      : 'No model is loaded. Load one in this page, and its routing can be changed here, expert by expert.',
  controls(context) {
    const runner = runnerOf(context);
    if (!runner) return [];
    const { state, selection, set, redraw } = context;
    const experiment = experimentOf(runner);
    const isBusy = experiment.doing !== null;
    const needsExpert = state.kind === 'mask' || state.kind === 'force' || state.kind === 'bias';
    const [changes, label] = changesOf(state);
    return [
      { kind: 'text', name: 'prompt', label: 'Prompt' },
      { kind: 'choice', name: 'kind', label: 'Change', options: KINDS },
      { kind: 'range', name: 'layer', label: 'Layer', min: 0, max: runner.layers - 1, step: 1 },
      ...(needsExpert
        ? [{ kind: 'range' as const, name: 'expert', label: 'Expert', min: 0, max: runner.experts - 1, step: 1 }]
        : []),
      ...(needsExpert && selection.expert !== null
        ? [
            {
              kind: 'action' as const,
              label: `Take the selected ${expertName(selection.layer, selection.expert)}`,
              run: () => set({ layer: selection.layer, expert: selection.expert! }),
            },
          ]
        : []),
      ...(state.kind === 'bias'
        ? [{ kind: 'range' as const, name: 'bias', label: 'Bias', min: -2, max: 2, step: 0.1 }]
        : []),
      ...(state.kind === 'topK'
        ? [{ kind: 'range' as const, name: 'topK', label: 'Experts a token', min: 1, max: runner.topK, step: 1 }]
        : []),
      { kind: 'range', name: 'tokens', label: 'Tokens of text', min: 1, max: 64, step: 1 },
      {
        kind: 'action',
        label: 'Run with and without',
        disabled: isBusy,
        run: () => void experiment.compare(state.prompt, changes, label, state.tokens, redraw),
      },
      {
        kind: 'action',
        label: `Switch off each expert of layer ${state.layer}`,
        disabled: isBusy,
        run: () => void experiment.maskEach(state.prompt, state.layer, state.tokens, redraw),
      },
      {
        kind: 'action',
        label: 'Try the other experts for the last token',
        disabled: isBusy,
        run: () => void experiment.forceEach(state.prompt, state.layer, state.tokens, redraw),
      },
      isBusy
        ? { kind: 'action', label: 'Cancel', run: () => experiment.cancel() }
        : {
            kind: 'action',
            label: 'Undo',
            disabled: !experiment.after && !experiment.trials,
            run: () => (experiment.undo(), redraw()),
          },
    ];
  },
  compute: (context) => experimentOf(runnerOf(context)!),
  figure: (experiment, context) => {
    const { before, after, trials, doing, problem } = experiment;
    if (!before && !doing && !problem)
      return html`<p class="empty">Choose a change and run it: the result of both runs stands here.</p>`;
    return html`${doing === null ? nothing : html`<p role="status">${doing}</p>`}
    ${problem === null ? nothing : html`<p role="alert">${problem}</p>`}
    ${
      before
        ? html`<div class="several">
            <div>
              <h4>Without</h4>
              <blockquote>${before.text}</blockquote>
            </div>
            ${
              after
                ? html`<div>
                    <h4>${after.label}</h4>
                    <blockquote>${after.text}</blockquote>
                  </div>`
                : nothing
            }
          </div>`
        : nothing
    }
    ${after ? moversView(experiment, context) : nothing} ${trials?.done.length ? trialsView(trials, context) : nothing}`;
  },
  summary: ({ before, after, trials }) =>
    before
      ? [
          `Prompt of ${count(before.ids.length, 'token')}, the next token’s distribution over ${count(before.logits.length, 'token')}.`,
          after &&
            `${after.label}: KL ${short(after.forward)} nats (back ${short(after.backward)}), ${percent(after.totalVariation)} of draws differ; no change gives 0.`,
          trials?.done.length &&
            `${trials.label}: KL up to ${short(Math.max(...trials.done.map((trial) => trial.forward)))}, ${
              trials.done.filter((trial) => trial.forward === 0).length
            } of ${trials.done.length} without any effect.`,
        ]
          .filter(Boolean)
          .join(' ')
      : 'Nothing was run yet; no change gives a distance of 0.',
  table: ({ names, after, trials }) =>
    trials
      ? {
          caption: `Distance of the next token’s distribution, ${trials.label}.`,
          columns: ['layer', 'expert', 'chosen before', 'KL', 'KL back', 'draws that differ', 'likeliest token'],
          rows: trials.done.map(({ layer, expert, wasChosen, forward, backward, totalVariation, best }) => [
            layer,
            expert,
            wasChosen ? 'yes' : 'no',
            forward,
            backward,
            totalVariation,
            tokenName(names.get(best) ?? `#${best}`),
          ]),
        }
      : {
          caption: 'Tokens whose probability changed most.',
          columns: ['id', 'token', 'without', 'with'],
          rows: (after?.movers ?? []).map(({ id, before, after: with_ }) => [
            id,
            tokenName(names.get(id) ?? `#${id}`),
            before,
            with_,
          ]),
        },
};

function moversView({ names, after }: Experiment, { width, say }: Context<InterventionState>): TemplateResult {
  const { movers, label } = after!;
  if (movers.length === 0) return html`<p>Not one probability changed: this expert had no part in the next token.</p>`;
  const word = (i: number): string => tokenName(names.get(movers[i]!.id) ?? `#${movers[i]!.id}`);
  return plotView({
    label: `Tokens whose probability changed most, ${label}`,
    xTitle: 'next token',
    yTitle: 'probability',
    xWords: (i) => word(i).slice(0, 9),
    yWords: percentTick,
    series: [
      // Bars, because points at the same height would hide each other.
      { label: 'without', as: 'bars', y: movers.map(({ before }) => before) },
      { label: 'with', as: 'points', colour: HUES[5]!, y: movers.map((mover) => mover.after) },
    ],
    describe: (i) => `${word(i)}: ${percent(movers[i]!.before)} without, ${percent(movers[i]!.after)} with`,
    width,
    say,
  });
}

const trialsView = ({ label, done }: Trials, { width, say, set }: Context<InterventionState>): TemplateResult =>
  plotView({
    label: `Distance of the next token’s distribution: ${label}`,
    xTitle: `expert of layer ${done[0]?.layer ?? ''}`,
    yTitle: 'KL, nats',
    xWords: (i) => String(done[i]?.expert ?? ''),
    yWords: short,
    series: [
      { label: 'chosen for the last token', as: 'bars', y: done.map((t) => (t.wasChosen ? t.forward : NaN)) },
      { label: 'not chosen', as: 'bars', colour: HUES[1]!, y: done.map((t) => (t.wasChosen ? NaN : t.forward)) },
    ],
    describe: (i) => {
      const { layer, expert, forward, wasChosen } = done[i]!;
      return `${expertName(layer, expert)}${wasChosen ? ', chosen for the last token' : ''}: KL ${short(forward)} nats`;
    },
    select: (i) => set({ expert: done[i]!.expert, kind: 'mask' }),
    width,
    say,
  });
