/** One conversation in the list. */
import { h, icon } from '../dom.ts';
import { openMenu, type MenuItem } from '../menu.ts';
import type { Found, Range } from './search.ts';

export interface RowEvents {
  readonly onOpen: (found: Found) => void;
  readonly onRename: (id: string, title: string) => void;
  readonly onDelete: (id: string) => void;
  readonly onExport: (id: string, format: 'json' | 'markdown') => void;
  /** While it is open the list must not change under it. */
  readonly onMenu: (isOpen: boolean) => void;
}

/** The text with its matches marked. */
function marked(text: string, ranges: readonly Range[]): (Node | string)[] {
  let at = 0;
  const parts: (Node | string)[] = [];
  for (const { start, end } of ranges) {
    parts.push(text.slice(at, start), h('mark', {}, text.slice(start, end)));
    at = end;
  }
  return [...parts, text.slice(at)];
}

export class ConversationRow {
  readonly element: HTMLElement;
  readonly #found: Found;
  readonly #events: RowEvents;
  readonly #open: HTMLButtonElement;
  readonly #more: HTMLButtonElement;

  constructor(found: Found, isCurrent: boolean, events: RowEvents) {
    this.#found = found;
    this.#events = events;
    const { info } = found.conversation;
    const snippet = found.snippet ? h('span', { class: 'snippet' }, ...marked(found.snippet, found.inSnippet)) : null;
    this.#open = h(
      'button',
      {
        type: 'button',
        class: 'open',
        onclick: () => events.onOpen(found),
        ...(isCurrent && { 'aria-current': 'true' }),
      },
      h('span', { class: 'title', dir: 'auto' }, ...marked(info.title, found.inTitle)),
      snippet,
    );
    this.#more = h(
      'button',
      {
        type: 'button',
        class: 'icon-button more-button',
        'aria-label': `More for ${info.title}`,
        'aria-haspopup': 'menu',
        'aria-expanded': 'false',
        title: 'Rename, export, delete',
        tabindex: -1,
        onclick: () => this.#menu(),
      },
      icon('more'),
    );
    this.element = h('li', { class: 'row', 'data-id': info.id }, this.#open, this.#more);
    this.element.addEventListener('keydown', (event) => this.#onKey(event));
    this.element.addEventListener('contextmenu', (event) => {
      event.preventDefault();
      this.#menu();
    });
  }

  get #id(): string {
    return this.#found.conversation.info.id;
  }

  #onKey(event: KeyboardEvent): void {
    const { key, target } = event;
    if (target instanceof HTMLInputElement) return;
    if (key === 'F2') this.rename();
    else if (key === 'Delete') this.#events.onDelete(this.#id);
    else if (key === 'ArrowRight') this.#more.focus();
    else if (key === 'ArrowLeft') this.#open.focus();
    else return;
    event.preventDefault();
  }

  #menu(): void {
    const items: readonly MenuItem[] = [
      { label: 'Rename', image: 'edit', run: () => this.rename() },
      { label: 'Export as JSON', image: 'save', run: () => this.#events.onExport(this.#id, 'json') },
      { label: 'Export as Markdown', image: 'save', run: () => this.#events.onExport(this.#id, 'markdown') },
      { label: 'Delete', image: 'bin', run: () => this.#events.onDelete(this.#id) },
    ];
    this.#events.onMenu(true);
    openMenu(this.#more, 'Conversation', items, () => this.#events.onMenu(false));
  }

  rename(): void {
    const { title } = this.#found.conversation.info;
    const input = h('input', { type: 'text', class: 'rename', 'aria-label': 'Title', maxlength: 200, value: title });
    let isDone = false;
    const close = (save: boolean): void => {
      if (isDone) return;
      isDone = true;
      const text = input.value.trim();
      const hadFocus = document.activeElement === input;
      input.replaceWith(this.#open);
      this.#events.onMenu(false);
      if (hadFocus) this.#open.focus();
      if (save && text && text !== title) this.#events.onRename(this.#id, text);
    };
    input.addEventListener('keydown', (event) => {
      if (event.key === 'Enter') close(true);
      else if (event.key === 'Escape') close(false);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    input.addEventListener('blur', () => close(true));
    this.#events.onMenu(true);
    this.#open.replaceWith(input);
    input.focus();
    input.select();
  }
}
