/** The question before a load: what it is, how large, and what happens. */
import type { Plan } from '../src/index.ts';
import { button, h, icon } from './dom.ts';
import { formatBytes, formatCount } from './format.ts';

export interface StartView {
  readonly element: HTMLElement;
  /** Fills in the figures. */
  showPlan(plan: Plan): void;
}

/** What happens to the weights while they load. */
const PRECISION: Readonly<Record<Plan['precision'], string>> = {
  'as-is': '',
  q8: ', in 8 bits',
  q4: ', in 4 bits',
};

/** A hidden file input behind a button; browsers open it only on a click. */
export function folderButton(style: string, onFiles: (files: readonly File[]) => void): HTMLElement {
  const input = h('input', { type: 'file', multiple: true, webkitdirectory: true, hidden: true, 'aria-hidden': true });
  input.addEventListener('change', () => {
    const files = [...(input.files ?? [])];
    input.value = '';
    if (files.length) onFiles(files);
  });
  const open = button('Choose a folder…', style, () => input.click(), icon('folder'));
  return h('span', { class: 'file-button' }, open, input);
}

export function startView(choice: {
  readonly name: string;
  readonly from: string;
  readonly onLoad: () => void;
  readonly onFiles: (files: readonly File[]) => void;
}): StartView {
  const download = h('dd', { 'data-fact': 'download' }, '…');
  const memory = h('dd', { 'data-fact': 'memory' }, '…');
  const context = h('dd', { 'data-fact': 'context' }, '…');
  const size = h('span', { class: 'size' }, '(…)');
  const loadButton = button('Load the model', 'primary', choice.onLoad);
  loadButton.disabled = true;
  const fact = (name: string, value: HTMLElement): HTMLElement => h('div', {}, h('dt', {}, name), value);
  const element = h(
    'section',
    { class: 'card', 'aria-labelledby': 'start-title' },
    h('h1', { id: 'start-title', tabindex: -1 }, 'A Mixture-of-Experts model, in this tab'),
    h('p', {}, 'You are about to load ', h('strong', {}, choice.name), ' ', size, ` from ${choice.from}.`),
    h(
      'p',
      { class: 'muted' },
      'It runs on your own graphics card, through WebGPU. What you write stays in this tab: nothing is sent anywhere.',
    ),
    h('dl', { class: 'facts' }, fact('Download', download), fact('Graphics memory', memory), fact('Context', context)),
    h('div', { class: 'actions' }, loadButton, folderButton('quiet', choice.onFiles)),
    h(
      'p',
      { class: 'muted small' },
      'A folder on this computer works too: config.json, tokenizer.json and safetensors files. It is read in place, not uploaded.',
    ),
  );
  return {
    element,
    showPlan(plan) {
      size.textContent = `(${formatBytes(plan.downloadBytes)})`;
      download.textContent = formatBytes(plan.downloadBytes);
      memory.textContent =
        formatBytes(plan.totalBytes) + PRECISION[plan.precision] + (plan.verdict === 'tight' ? ', a tight fit' : '');
      context.textContent = `${formatCount(plan.contextLength)} tokens`;
      loadButton.disabled = false;
    },
  };
}
