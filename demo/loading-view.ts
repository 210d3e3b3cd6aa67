/** A load in progress: one bar, bytes, speed, time left, the files behind it, a pause, and a way out. */
import type { LoadProgress } from '../src/index.ts';
import type { DownloadState } from './models/download.ts';
import { button, h } from './dom.ts';
import { FileList } from './loading-files.ts';
import { formatBytes, formatDuration } from './format.ts';

export interface LoadingView {
  readonly element: HTMLElement;
  show(progress: LoadProgress): void;
  showState(state: DownloadState): void;
}

export interface LoadingEvents {
  readonly onCancel: () => void;
  /** null: what was read so far is kept nowhere, so that a pause would start over. */
  readonly onPause: (() => void) | null;
  readonly onResume: () => void;
}

const STATES: Readonly<Record<Exclude<DownloadState, 'running'>, string>> = {
  stopping: 'Stopping…',
  paused: 'Paused. What was downloaded is kept in this browser.',
  offline: 'No connection. The download goes on by itself when it is back.',
};

export const PHASES: Readonly<Record<LoadProgress['phase'], string>> = {
  open: 'Reading the model’s description',
  elsewhere: 'Another tab is downloading this model: waiting for it, so that it is downloaded once',
  weights: 'Loading weights',
  compile: 'Preparing the graphics card',
  ready: 'Ready',
};

/** `58.2 MB of 129 MB` */
const amountLine = ({ loadedBytes, totalBytes }: LoadProgress): string =>
  `${formatBytes(loadedBytes)} of ${formatBytes(totalBytes)}`;

/** `58.2 MB of 129 MB · 12.4 MB/s · 6 s left`; parts that are not known yet are left out. */
export function progressLine(progress: LoadProgress): string {
  const { phase, loadedBytes, totalBytes, bytesPerSecond, remainingSeconds } = progress;
  if (totalBytes === 0) return '';
  if (phase === 'elsewhere') return `${formatBytes(loadedBytes)} of ${formatBytes(totalBytes)} are on this computer`;
  if (phase !== 'weights') {
    const [loaded, total] = [formatBytes(loadedBytes), formatBytes(totalBytes)];
    return loaded === total ? `${total} loaded` : `${loaded} of ${total} loaded; the rest follows while you chat`;
  }
  const parts = [amountLine(progress)];
  if (bytesPerSecond) parts.push(`${formatBytes(bytesPerSecond)}/s`);
  if (remainingSeconds !== null) parts.push(`${formatDuration(remainingSeconds)} left`);
  return parts.join(' · ');
}

export function loadingView(name: string, { onCancel, onPause, onResume }: LoadingEvents): LoadingView {
  const phase = h('p', { class: 'phase', id: 'phase', role: 'status' }, PHASES.open);
  const bar = h('progress', { 'aria-labelledby': 'phase' });
  const line = h('p', { class: 'muted numbers', 'data-fact': 'progress' });
  const cancel = button('Cancel', 'quiet', onCancel);
  const pause = button('Pause', 'quiet', () => onPause?.());
  const resume = button('Go on', 'primary', onResume);
  const files = new FileList();
  let state: DownloadState = 'running';
  let last: LoadProgress | null = null;
  const fill = ({ loadedBytes, totalBytes }: LoadProgress): void => {
    bar.max = totalBytes;
    bar.value = loadedBytes;
  };
  pause.hidden = onPause === null;
  resume.hidden = true;
  const element = h(
    'section',
    { class: 'card', 'aria-labelledby': 'loading-title' },
    h('h1', { id: 'loading-title', tabindex: -1 }, `Loading ${name}`),
    phase,
    bar,
    line,
    files.element,
    h('div', { class: 'actions' }, resume, pause, cancel),
  );
  return {
    element,
    show(progress) {
      if (state !== 'running') return;
      phase.textContent = PHASES[progress.phase];
      line.textContent = progressLine(progress);
      if (progress.files) files.show(progress.files);
      last = /weights|elsewhere/.test(progress.phase) && progress.totalBytes > 0 ? progress : null;
      if (last) fill(last);
      else bar.removeAttribute('value'); // indeterminate
    },
    showState(next) {
      const hadFocus = [pause, resume].includes(document.activeElement as HTMLButtonElement);
      state = next;
      phase.textContent = next === 'running' ? PHASES.open : STATES[next];
      cancel.disabled = pause.disabled = next === 'stopping';
      pause.hidden = onPause === null || next === 'paused' || next === 'offline';
      resume.hidden = next !== 'paused';
      if (next === 'stopping') bar.removeAttribute('value');
      if (last && (next === 'paused' || next === 'offline')) {
        fill(last);
        line.textContent = amountLine(last); // nothing moves: no speed, no time left
      }
      if (hadFocus) (resume.hidden ? pause : resume).focus();
    },
  };
}
