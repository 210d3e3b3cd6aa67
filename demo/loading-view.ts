/** A load in progress: one bar, bytes, speed, time left, and a way out. */
import type { LoadProgress } from '../src/index.ts';
import { button, h } from './dom.ts';
import { formatBytes, formatDuration } from './format.ts';

export interface LoadingView {
  readonly element: HTMLElement;
  show(progress: LoadProgress): void;
  /** The load is being given up; it may take a moment to let go. */
  showCancelling(): void;
}

export const PHASES: Readonly<Record<LoadProgress['phase'], string>> = {
  open: 'Reading the model’s description',
  weights: 'Loading weights',
  compile: 'Preparing the graphics card',
  ready: 'Ready',
};

/** `58.2 MB of 129 MB · 12.4 MB/s · 6 s left`; parts that are not known yet are left out. */
export function progressLine({
  phase,
  loadedBytes,
  totalBytes,
  bytesPerSecond,
  remainingSeconds,
}: LoadProgress): string {
  if (totalBytes === 0) return '';
  if (phase !== 'weights') {
    const [loaded, total] = [formatBytes(loadedBytes), formatBytes(totalBytes)];
    return loaded === total ? `${total} loaded` : `${loaded} of ${total} loaded; the rest follows while you chat`;
  }
  const parts = [`${formatBytes(loadedBytes)} of ${formatBytes(totalBytes)}`];
  if (bytesPerSecond) parts.push(`${formatBytes(bytesPerSecond)}/s`);
  if (remainingSeconds !== null) parts.push(`${formatDuration(remainingSeconds)} left`);
  return parts.join(' · ');
}

export function loadingView(name: string, onCancel: () => void): LoadingView {
  const phase = h('p', { class: 'phase', id: 'phase' }, PHASES.open);
  const bar = h('progress', { 'aria-labelledby': 'phase' });
  const line = h('p', { class: 'muted numbers', 'data-fact': 'progress' });
  const cancel = button('Cancel', 'quiet', onCancel);
  const element = h(
    'section',
    { class: 'card', 'aria-labelledby': 'loading-title' },
    h('h1', { id: 'loading-title', tabindex: -1 }, `Loading ${name}`),
    phase,
    bar,
    line,
    h('div', { class: 'actions' }, cancel),
  );
  return {
    element,
    show(progress) {
      if (cancel.disabled) return;
      phase.textContent = PHASES[progress.phase];
      line.textContent = progressLine(progress);
      if (progress.phase === 'weights' && progress.totalBytes > 0) {
        bar.max = progress.totalBytes;
        bar.value = progress.loadedBytes;
      } else bar.removeAttribute('value'); // indeterminate
    },
    showCancelling() {
      cancel.disabled = true;
      phase.textContent = 'Cancelling…';
      bar.removeAttribute('value');
    },
  };
}
