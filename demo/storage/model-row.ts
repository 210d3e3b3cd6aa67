/** One stored model: what it is, and checking and deleting it. */
import type { ModelStorage, StoredModel } from '../../src/index.ts';
import { button, h } from '../dom.ts';
import { formatBytes, formatCount } from '../format.ts';
import { errorSentence } from '../problem.ts';
import { factsOf, isComplete, nameOf, originOf, verifiedText } from './words.ts';

export interface RowEvents {
  /** Gives up what runs: the dialog closes. */
  readonly signal: AbortSignal;
  /** It is gone from the disk. */
  readonly onRemoved: (model: StoredModel) => void;
  /** Its size is another now. @returns what is stored, or null when that could not be read */
  readonly onDropped: () => Promise<readonly StoredModel[] | null>;
}

const isAbort = (error: unknown, signal: AbortSignal): boolean => signal.aborted || error === signal.reason;

export function modelRow(storage: ModelStorage, model: StoredModel, events: RowEvents): HTMLElement {
  const name = nameOf(model);
  const facts = h('p', { class: 'muted small numbers' }, factsOf(model));
  const bar = isComplete(model) ? null : h('progress', { 'aria-label': `${name} is not complete` });
  if (bar) {
    bar.max = model.totalBytes;
    bar.value = model.bytes;
  }
  const said = h('p', { class: 'said small', role: 'status' });
  const checking = h('progress', { hidden: true, 'aria-label': `Checking ${name}` });
  const actions = h('div', { class: 'actions' });
  const verifyButton = button('Verify', 'quiet compact', () => void verify());
  const deleteButton = button('Delete', 'quiet compact', ask);
  verifyButton.setAttribute('aria-label', `Verify ${name}`);
  deleteButton.setAttribute('aria-label', `Delete ${name}`);
  if (model.inUse) {
    deleteButton.disabled = true;
    deleteButton.title = 'It is loaded in this tab or another one.';
  }

  function say(text: string, isError = false): void {
    said.textContent = text;
    said.classList.toggle('error', isError);
    said.setAttribute('role', isError ? 'alert' : 'status');
  }

  function offer(): void {
    actions.replaceChildren(verifyButton, deleteButton);
  }

  async function verify(): Promise<void> {
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, events.signal]);
    const cancel = button('Cancel', 'quiet compact', () => stop.abort());
    actions.replaceChildren(cancel);
    cancel.focus();
    checking.removeAttribute('value');
    checking.hidden = false;
    say('Checking…');
    try {
      const result = await storage.verify(model.id, {
        signal,
        onProgress: (done, total) => {
          if (signal.aborted) return;
          checking.max = Math.max(1, total);
          checking.value = done;
          // Not for screen readers: thousands of them.
          said.setAttribute('role', 'none');
          said.textContent = `Checking: ${formatCount(done)} of ${formatCount(total)} records`;
        },
      });
      say(verifiedText(result));
      const now = result.damaged > 0 ? await events.onDropped() : null;
      const found = now?.find(({ id }) => id === model.id);
      if (found) facts.textContent = factsOf(found);
    } catch (error) {
      if (isAbort(error, signal)) say('The check was stopped.');
      else say(errorSentence(error, `${name} could not be checked.`), true);
    }
    checking.hidden = true;
    offer();
    if (!signal.aborted || stop.signal.aborted) verifyButton.focus();
  }

  /** Once; there is no way back. */
  function ask(): void {
    const keep = button('Keep', 'quiet compact', () => {
      say('');
      offer();
      deleteButton.focus();
    });
    const confirm = button('Delete', 'danger compact', () => void remove([confirm, keep]));
    confirm.setAttribute('aria-label', `Delete ${name} now`);
    keep.setAttribute('aria-label', `Keep ${name}`);
    say(`Delete ${formatBytes(model.bytes)}? To use ${name} again it has to be fetched again.`);
    actions.replaceChildren(confirm, keep);
    keep.focus();
  }

  async function remove(buttons: readonly HTMLButtonElement[]): Promise<void> {
    for (const each of buttons) each.disabled = true;
    say('Deleting…');
    try {
      await storage.remove(model.id);
      events.onRemoved(model);
    } catch (error) {
      say(errorSentence(error, `${name} could not be deleted.`), true);
      offer();
      deleteButton.focus();
    }
  }

  offer();
  return h(
    'li',
    { class: 'stored', 'data-id': model.id },
    h(
      'div',
      { class: 'stored-head' },
      h('h3', {}, name),
      model.inUse ? h('span', { class: 'badge' }, 'in use') : null,
      isComplete(model) ? null : h('span', { class: 'badge' }, 'incomplete'),
    ),
    h('p', { class: 'muted small origin' }, originOf(model)),
    facts,
    bar,
    checking,
    said,
    actions,
  );
}
