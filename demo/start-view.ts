/** The question before a load: what it is, how large, how much graphics memory it may use, and what happens. */
import type { Plan } from '../src/index.ts';
import { button, h, icon } from './dom.ts';
import type { PagePlan } from './engine.ts';
import { acceptDrops } from './models/drop.ts';
import { formatBytes, formatCount } from './format.ts';
import { PlannedMemory } from './memory/planned.ts';

export interface StartView {
  readonly element: HTMLElement;
  /** Fills in the figures. */
  showPlan(plan: PagePlan): void;
  /** Says what becomes of what is downloaded. */
  showKeeping(text: string): void;
  /** Gives up a plan under way. */
  dispose(): void;
}

export interface StartChoice {
  readonly name: string;
  readonly from: string;
  /** Plans again, with other graphics memory. */
  readonly replan: (gpuBytes: number, signal: AbortSignal) => Promise<PagePlan>;
  /** @param gpuBytes null when the visitor did not choose */
  readonly onLoad: (gpuBytes: number | null) => void;
  /** @param folder its name, where the files do not say it */
  readonly onFiles: (files: readonly File[], folder?: string) => void;
  /** Back to the model that comes with the page; absent where this is it. */
  readonly onShipped?: () => void;
  /** Stands below the question: recordings, other models. */
  readonly below: readonly HTMLElement[];
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

export function startView(choice: StartChoice): StartView {
  const download = h('dd', { 'data-fact': 'download' }, '…');
  const memory = h('dd', { 'data-fact': 'memory' }, '…');
  const context = h('dd', { 'data-fact': 'context' }, '…');
  const size = h('span', { class: 'size' }, '(…)');
  const planned = new PlannedMemory(choice.replan, showFigures);
  const loadButton = button('Load the model', 'primary', () => choice.onLoad(planned.chosenBytes));
  loadButton.disabled = true;
  const fact = (name: string, value: HTMLElement): HTMLElement => h('div', {}, h('dt', {}, name), value);
  const keeping = h('p', { class: 'muted small numbers', 'data-fact': 'keeping' });
  const { onShipped } = choice;
  const card = h(
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
    planned.element,
    keeping,
    h(
      'div',
      { class: 'actions' },
      loadButton,
      folderButton('quiet', choice.onFiles),
      onShipped ? button('Back to the first model', 'quiet', onShipped) : null,
    ),
    h(
      'p',
      { class: 'muted small' },
      'A folder on this computer works too: config.json, tokenizer.json and safetensors files, or one .gguf file. Choose the folder, or drop it or the file on this page: it is read in place, not uploaded.',
    ),
  );
  const element = h('div', { class: 'start' }, card, ...choice.below);
  acceptDrops(element, choice.onFiles);

  function showFigures(plan: PagePlan): void {
    size.textContent = `(${formatBytes(plan.downloadBytes)})`;
    download.textContent = formatBytes(plan.downloadBytes);
    // A plan that can leave experts out uses what it was given: that is no tight fit.
    const tight = plan.verdict === 'tight' && !plan.slots;
    memory.textContent = formatBytes(plan.totalBytes) + PRECISION[plan.precision] + (tight ? ', a tight fit' : '');
    context.textContent = `${formatCount(plan.contextLength)} tokens`;
    loadButton.disabled = false;
  }

  return {
    element,
    showPlan(plan) {
      showFigures(plan);
      planned.start(plan);
    },
    showKeeping(text) {
      keeping.textContent = text;
    },
    dispose: () => planned.dispose(),
  };
}
