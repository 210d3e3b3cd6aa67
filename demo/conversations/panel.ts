/** All conversations beside the chat: search, open, rename, delete, export, import. */
import { button, h, icon, iconButton } from '../dom.ts';
import { onFilesDropped } from '../drops.ts';
import { formatDay } from '../format.ts';
import { roving } from '../roving.ts';
import type { Library, StoreProblem } from './library.ts';
import { ConversationRow, type RowEvents } from './row.ts';
import { search, type Found } from './search.ts';

export interface PanelEvents extends Omit<RowEvents, 'onMenu'> {
  readonly onNew: () => void;
  readonly onExportAll: () => void;
  readonly onFiles: (files: readonly File[]) => void;
  readonly onKeys: () => void;
  readonly onClose: () => void;
}

const PROBLEM: Readonly<Record<StoreProblem, string>> = {
  blocked:
    'This browser keeps nothing for this page, as in a private window: conversations last as long as this tab. Export what you want to keep.',
  full: 'The disk space that the browser gives this page is full: the last changes are in this tab only. Delete stored models or conversations, or export.',
};

const capital = (text: string): string => text[0]!.toUpperCase() + text.slice(1);

export class ConversationPanel {
  readonly element: HTMLElement;
  readonly #library: Library;
  readonly #events: PanelEvents;
  readonly #problem = h('p', { class: 'note small', role: 'note', hidden: true });
  readonly #search: HTMLInputElement;
  readonly #list = h('div', { class: 'list' });
  readonly #count = h('p', { class: 'visually-hidden', 'aria-live': 'polite' });
  readonly #exportAll: HTMLButtonElement;
  readonly #refreshRoving = roving(this.#list, '.open', 'vertical');
  readonly #stopListening: () => void;
  #current: string | null = null;
  #isHeld = false;
  #shown = '';

  constructor(library: Library, events: PanelEvents) {
    this.#library = library;
    this.#events = events;
    this.#search = h('input', {
      type: 'search',
      placeholder: 'Search',
      'aria-label': 'Search conversations',
      oninput: () => this.#render(),
    });
    this.#exportAll = iconButton('Export all', 'save', events.onExportAll);
    const hide = iconButton('Hide the list', 'panel', events.onClose);
    hide.classList.add('hide-list');
    const file = h('input', { type: 'file', accept: '.json,application/json', multiple: true, hidden: true });
    file.addEventListener('change', () => {
      events.onFiles([...(file.files ?? [])]);
      file.value = '';
    });
    this.element = h(
      'nav',
      { class: 'conversations', 'aria-label': 'Conversations' },
      h(
        'div',
        { class: 'panel-top' },
        button('New conversation', 'quiet compact', events.onNew, icon('plus')),
        h('span', { class: 'grow' }),
        hide,
      ),
      this.#search,
      this.#problem,
      this.#list,
      this.#count,
      h(
        'div',
        { class: 'panel-foot' },
        iconButton('Import', 'open', () => file.click()),
        this.#exportAll,
        h('span', { class: 'grow' }),
        iconButton('Keys', 'keyboard', events.onKeys),
        file,
      ),
    );
    onFilesDropped(this.element, ({ files }) => this.#events.onFiles([...files]));
    this.#search.addEventListener('keydown', (event) => {
      if (event.key === 'ArrowDown') this.#list.querySelector<HTMLElement>('.open')?.focus();
      else return;
      event.preventDefault();
    });
    this.#stopListening = library.onChange(() => this.#render());
    this.#render();
  }

  set current(id: string | null) {
    this.#current = id;
    this.#render();
  }

  focusSearch(): void {
    this.#search.focus();
    this.#search.select();
  }

  dispose(): void {
    this.#stopListening();
  }

  #render(): void {
    const { problem, all } = this.#library;
    this.#problem.hidden = problem === null;
    this.#problem.textContent = problem && PROBLEM[problem];
    this.#exportAll.disabled = all.length === 0;
    if (this.#isHeld) return;
    const query = this.#search.value.trim();
    const found = search(all, query);
    // An answer that comes changes the library every second; the list only when something in it differs.
    const shown = JSON.stringify([
      query,
      this.#current,
      found.map(({ conversation: { info }, snippet }) => [
        info.id,
        info.title,
        formatDay(new Date(info.updatedAt)),
        snippet,
      ]),
    ]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const focused = document.activeElement?.closest<HTMLElement>('.row');
    const focusedId = focused && this.#list.contains(focused) ? focused.dataset.id : null;
    this.#list.replaceChildren(...(found.length ? this.#groups(found, query !== '') : [this.#empty(query)]));
    this.#refreshRoving();
    this.#count.textContent = query ? `${found.length} found` : '';
    if (focusedId) (this.#row(focusedId) ?? this.#list.querySelector<HTMLElement>('.open') ?? this.#search).focus();
  }

  #row(id: string): HTMLElement | null {
    return this.#list.querySelector<HTMLElement>(`.row[data-id="${CSS.escape(id)}"] .open`);
  }

  #groups(found: readonly Found[], isSearch: boolean): HTMLElement[] {
    const days = new Map<string, Found[]>();
    for (const one of found) {
      const day = capital(formatDay(new Date(one.conversation.info.updatedAt)));
      days.set(day, [...(days.get(day) ?? []), one]);
    }
    const events: RowEvents = { ...this.#events, onMenu: (isOpen) => this.#hold(isOpen) };
    const row = (one: Found): HTMLElement => {
      const shown = isSearch ? one : { ...one, snippet: '' };
      return new ConversationRow(shown, one.conversation.info.id === this.#current, events).element;
    };
    return [...days].map(([day, list]) =>
      h('section', {}, h('h2', {}, day), h('ul', { 'aria-label': day }, ...list.map(row))),
    );
  }

  #empty(query: string): HTMLElement {
    return query
      ? h('p', { class: 'empty muted small' }, 'No conversation has all of these words.')
      : h(
          'p',
          { class: 'empty muted small' },
          'What you ask and what is answered is kept here, on this computer only. A file that was exported can be dropped here.',
        );
  }

  #hold(isHeld: boolean): void {
    this.#isHeld = isHeld;
    if (!isHeld) queueMicrotask(() => this.#render());
  }

  /** The neighbour gets the focus that a deleted row had. */
  focusAfter(id: string): void {
    const rows = [...this.#list.querySelectorAll<HTMLElement>('.row')];
    const at = rows.findIndex((row) => row.dataset.id === id);
    if (at < 0 || !rows[at]!.contains(document.activeElement)) return;
    (rows[at + 1] ?? rows[at - 1])?.querySelector<HTMLElement>('.open')?.focus();
  }
}
