/** A page that says what is wrong, what to do, and gives a block of text to copy into a report. */
import { button, h } from './dom.ts';
import type { Problem } from './problem.ts';

/** The clipboard is closed to insecure pages: there the text is selected instead. */
function copyButton(block: HTMLElement): HTMLButtonElement {
  const say = (text: string): void => {
    copy.textContent = text;
    setTimeout(() => (copy.textContent = 'Copy'), 2000);
  };
  const select = (): void => {
    getSelection()?.selectAllChildren(block);
    say('Selected: now copy it');
  };
  const copy = button('Copy', 'quiet compact', () => {
    const clipboard = (navigator as { clipboard?: Clipboard }).clipboard;
    if (!clipboard) return select();
    clipboard.writeText(block.textContent).then(() => say('Copied'), select);
  });
  return copy;
}

export function diagnosticsBlock(text: string): HTMLElement {
  const block = h('pre', { tabindex: 0, 'aria-label': 'Details for a report' }, text);
  return h(
    'details',
    { class: 'diagnostics' },
    h('summary', {}, 'Details for a report'),
    h('div', {}, block, copyButton(block)),
  );
}

/** Addresses that a browser does not let a page link to: one click selects them. */
const ADDRESS = /((?:chrome|edge|opera|https?):\/\/[^\s,”)]*[^\s,”).:]|about:config|ssh -L [^)]+)/;

const withAddresses = (text: string): (Node | string)[] =>
  text.split(ADDRESS).map((part, i) => (i % 2 ? h('code', {}, part) : part));

export interface Action {
  readonly label: string;
  readonly run: () => void;
}

/** The first action is the main one. @param instead other ways, for when none of the steps help */
export function problemView(
  problem: Problem,
  diagnostics: string,
  actions: readonly (Action | HTMLElement)[],
  instead: readonly HTMLElement[] = [],
): HTMLElement {
  const { needs } = problem;
  const title = h('h1', { tabindex: -1, id: 'problem-title' }, problem.title);
  const row = (name: string, value: string): HTMLElement => h('div', {}, h('dt', {}, name), h('dd', {}, value));
  return h(
    'section',
    { class: 'card problem', 'data-problem': problem.id, 'aria-labelledby': 'problem-title' },
    title,
    h('p', { class: 'summary' }, ...withAddresses(problem.summary)),
    needs ? h('dl', { class: 'facts' }, row('Needed', needs.needed), row('Available', needs.available)) : null,
    h('h2', {}, 'What you can do'),
    h('ul', { class: 'steps' }, ...problem.steps.map((step) => h('li', {}, ...withAddresses(step)))),
    h(
      'div',
      { class: 'actions' },
      ...actions.map((action, i) =>
        action instanceof HTMLElement ? action : button(action.label, i === 0 ? 'primary' : 'quiet', action.run),
      ),
    ),
    ...instead,
    diagnosticsBlock(diagnostics),
  );
}
