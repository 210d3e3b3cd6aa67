/** Where the list stands: beside the chat on wide screens, as a drawer over it on others. */
import { h, iconButton } from '../dom.ts';
import { recall, remember } from '../remember.ts';
import type { ConversationPanel } from './panel.ts';

const KEY = 'webmoe-list';
const WIDE = '(min-width: 64rem)';

export class Side {
  readonly element = h('aside', { class: 'side' });
  /** Stands in the header. */
  readonly toggle: HTMLButtonElement;
  readonly #panel: ConversationPanel;
  /** Notices: over a page behind a drawer nobody sees them, or can press their buttons. */
  readonly #notices: HTMLElement;
  readonly #home: HTMLElement | null;
  readonly #drawer: HTMLDialogElement;
  readonly #wide = matchMedia(WIDE);
  readonly #place = (): void => this.#arrange();

  /** @param notices stand in their place on the page already */
  constructor(panel: ConversationPanel, notices: HTMLElement) {
    this.#panel = panel;
    this.#notices = notices;
    this.#home = notices.parentElement;
    this.toggle = iconButton('Conversations', 'panel', () => this.setOpen(!this.isOpen));
    this.#drawer = h('dialog', { class: 'drawer', 'aria-label': 'Conversations' });
    this.#drawer.addEventListener('click', (event) => {
      if (event.target === this.#drawer) this.#drawer.close();
    });
    this.#drawer.addEventListener('close', () => this.#arrange());
    this.#wide.addEventListener('change', this.#place);
    this.#arrange();
  }

  get isOpen(): boolean {
    return this.#wide.matches ? !this.element.hidden : this.#drawer.open;
  }

  setOpen(open: boolean): void {
    if (this.#wide.matches) {
      remember(KEY, open ? null : 'closed');
      const hadFocus = this.element.contains(document.activeElement);
      this.#arrange();
      if (hadFocus) this.toggle.focus();
    } else if (open) {
      this.#drawer.append(this.#panel.element, this.#notices);
      document.body.append(this.#drawer);
      this.#drawer.showModal();
      this.toggle.setAttribute('aria-expanded', 'true');
    } else this.#drawer.close();
  }

  /** After something was chosen in it: a drawer is in the way. */
  chosen(): void {
    if (!this.#wide.matches) this.#drawer.close();
  }

  #arrange(): void {
    if (this.#wide.matches && this.#drawer.open) this.#drawer.close();
    this.#drawer.remove();
    this.element.hidden = !this.#wide.matches || recall(KEY) === 'closed';
    this.element.append(this.#panel.element);
    this.#home?.append(this.#notices);
    this.toggle.setAttribute('aria-expanded', String(this.isOpen));
  }

  dispose(): void {
    this.#wide.removeEventListener('change', this.#place);
    this.#drawer.close();
    this.#drawer.remove();
  }
}
