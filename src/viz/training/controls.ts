/** What a visitor can change of a training run, and take from it. */
import { writeTrace } from '../../trace/npz.ts';
import { save } from '../export.ts';
import type { Trainer, TrainingSettings } from '../training.ts';
import type { Context, Control } from '../view.ts';
import { isSeed, MOST_BALANCE, MOST_CHOICES, MOST_EXPERTS, settingsOf, trainerOf, type TrainingState } from './data.ts';
import { forgetLesson, lessonOf, type Looked } from './lesson.ts';
import { traceOfLook } from './trace.ts';

export function controlsOf(context: Context<TrainingState>): readonly Control[] {
  const { state, set } = context;
  const trainer = trainerOf(context);
  if (!trainer || !isSeed(state.seed)) return [{ kind: 'text', name: 'seed', label: 'Seed' }];
  const settings = settingsOf(state);
  const lesson = lessonOf(trainer, settings);
  const { done } = lesson;
  const isRunning = lesson.isRunning;
  const last = lesson.lastLook(state.steps);
  return [
    isRunning
      ? { kind: 'action', label: 'Pause', run: () => set({ steps: lesson.done }) }
      : { kind: 'action', label: 'Start', disabled: done >= trainer.steps, run: () => set({ steps: trainer.steps }) },
    {
      kind: 'action',
      label: 'One step',
      disabled: isRunning || state.steps >= trainer.steps,
      run: () => set({ steps: Math.min(trainer.steps, state.steps + 1) }),
    },
    {
      kind: 'action',
      label: 'Start over',
      disabled: done === 0 && !isRunning,
      run: () => (forgetLesson(trainer), set({ steps: 0 })),
    },
    { kind: 'range', name: 'steps', label: 'Train to step', min: 0, max: trainer.steps, step: 1 },
    { kind: 'range', name: 'experts', label: 'Experts', min: 2, max: MOST_EXPERTS, step: 1 },
    {
      kind: 'range',
      name: 'topK',
      label: 'Experts a point',
      min: 1,
      max: Math.min(MOST_CHOICES, settings.experts),
      step: 1,
    },
    { kind: 'range', name: 'balance', label: 'Weight of the balance loss', min: 0, max: MOST_BALANCE, step: 0.005 },
    { kind: 'text', name: 'seed', label: 'Seed' },
    ...(last && !isRunning ? traceActions(last, trainer, settings) : []),
  ];
}

function traceActions(last: Looked, trainer: Trainer, settings: TrainingSettings): readonly Control[] {
  const trace = (): ReturnType<typeof traceOfLook> => traceOfLook(last, trainer, settings);
  const { show } = trainer;
  return [
    {
      kind: 'action',
      label: 'Save as a trace',
      run: () => save(`training-${last.at}.npz`, new Blob([new Uint8Array(writeTrace(trace()))])),
    },
    ...(show ? [{ kind: 'action' as const, label: 'Open in the other views', run: () => show(trace()) }] : []),
  ];
}
