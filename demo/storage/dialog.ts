/** The models that earlier visits left on this computer: a dialog over whatever the page shows. */
import type { ModelStorage, StoredModel } from '../../src/index.ts';
import { button, h, iconButton } from '../dom.ts';
import { formatBytes } from '../format.ts';
import { errorSentence } from '../problem.ts';
import { keepControl } from './keep.ts';
import { modelRow } from './model-row.ts';
import { nameOf, tidiedText, totalText } from './words.ts';

export class StorageDialog {
  readonly #storage: ModelStorage | null;
  readonly #body = h('div', { class: 'storage' });
  readonly #title = h('h2', { id: 'storage-title', tabindex: -1, autofocus: true }, 'Models on this computer');
  readonly #dialog: HTMLDialogElement;
  #closing = new AbortController();

  /** @param storage null: this browser offers none */
  constructor(storage: ModelStorage | null) {
    this.#storage = storage;
    this.#dialog = h(
      'dialog',
      { class: 'dialog', 'aria-labelledby': 'storage-title' },
      h(
        'div',
        { class: 'panel-head' },
        this.#title,
        iconButton('Close', 'close', () => this.#dialog.close()),
      ),
      this.#body,
    );
    this.#dialog.addEventListener('click', (event) => {
      if (event.target === this.#dialog) this.#dialog.close(); // beside it
    });
    this.#dialog.addEventListener('close', () => {
      this.#closing.abort();
      this.#dialog.remove();
    });
  }

  open(): void {
    this.#closing = new AbortController();
    document.body.append(this.#dialog);
    this.#dialog.showModal();
    if (this.#storage) void this.#show(this.#storage);
    else
      this.#body.replaceChildren(
        h('p', {}, 'This browser offers no storage to this page: models are downloaded anew each time.'),
      );
  }

  async #show(storage: ModelStorage): Promise<void> {
    const { signal } = this.#closing;
    const total = h('p', { class: 'numbers', 'data-fact': 'total' }, 'Looking…');
    const said = h('p', { class: 'said small', role: 'status' });
    const list = h('ul', { class: 'stored-list' });
    const tidy = button('Tidy up leftovers', 'quiet compact', () => void tidyUp());
    const keep = keepControl(storage);
    const say = (text: string, isError = false): void => {
      said.textContent = text;
      said.classList.toggle('error', isError);
      said.setAttribute('role', isError ? 'alert' : 'status');
    };

    const refreshTotal = async (): Promise<readonly StoredModel[] | null> => {
      const models = await storage.list().catch(() => null);
      if (models && !signal.aborted) showTotal(models);
      return models;
    };
    const showTotal = (models: readonly StoredModel[]): void => {
      keep.hidden = models.length === 0;
      total.textContent = models.length
        ? totalText(models)
        : 'None yet. What webmoe downloads is kept here, so that it loads at once the next time.';
    };
    const removed = (model: StoredModel): void => {
      list.querySelector(`[data-id="${CSS.escape(model.id)}"]`)?.remove();
      say(`${nameOf(model)} is deleted: ${formatBytes(model.bytes)} freed.`);
      this.#title.focus();
      void refreshTotal();
    };

    async function tidyUp(): Promise<void> {
      tidy.disabled = true;
      say('Tidying up…');
      try {
        say(tidiedText(await storage.tidy()));
      } catch (error) {
        say(errorSentence(error, 'The leftovers could not be deleted.'), true);
      }
      tidy.disabled = false;
      tidy.focus();
    }

    this.#body.replaceChildren(total, list, said, h('div', { class: 'storage-foot' }, keep, tidy));
    try {
      const models = await storage.list();
      if (signal.aborted) return;
      showTotal(models);
      const latestFirst = [...models].sort((a, b) => b.lastUsed.getTime() - a.lastUsed.getTime());
      list.replaceChildren(
        ...latestFirst.map((model) =>
          modelRow(storage, model, { signal, onRemoved: removed, onDropped: refreshTotal }),
        ),
      );
    } catch (error) {
      if (signal.aborted) return;
      total.hidden = true;
      say(errorSentence(error, 'What is stored could not be read.'), true);
      this.#body.append(button('Try again', 'quiet compact', () => void this.#show(storage)));
    }
  }
}
