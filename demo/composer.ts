/** The box to write in. Enter sends, Shift+Enter makes a new line; the button sends or, while an answer comes, stops it. */
import { h, icon } from './dom.ts';

export interface ComposerEvents {
  readonly onSend: (text: string) => void;
  readonly onStop: () => void;
  /** The text changed, by whatever hand. */
  readonly onInput: (text: string) => void;
}

export class Composer {
  readonly element: HTMLElement;
  readonly #box: HTMLTextAreaElement;
  readonly #button: HTMLButtonElement;
  readonly #events: ComposerEvents;
  #busy = false;

  constructor(events: ComposerEvents, footnote: string) {
    this.#events = events;
    this.#box = h('textarea', {
      rows: 1,
      placeholder: 'Write a message',
      'aria-label': 'Message',
      enterkeyhint: 'send',
      autocomplete: 'off',
    });
    this.#button = h('button', { type: 'button', class: 'send', onclick: () => this.#press() });
    this.element = h(
      'div',
      { class: 'composer' },
      h('div', { class: 'box' }, this.#box, this.#button),
      h('p', { class: 'footnote' }, footnote),
    );
    this.#box.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      if (!this.#busy) this.#press();
    });
    this.#box.addEventListener('input', () => {
      this.#changed();
      events.onInput(this.#box.value);
    });
    this.setBusy(false);
  }

  get text(): string {
    return this.#box.value;
  }

  set text(text: string) {
    this.#box.value = text;
    this.#changed();
    this.#events.onInput(text);
  }

  setBusy(busy: boolean): void {
    this.#busy = busy;
    const label = busy ? 'Stop the answer (Esc)' : 'Send (Enter)';
    this.#button.replaceChildren(icon(busy ? 'stop' : 'send'));
    this.#button.title = label;
    this.#button.setAttribute('aria-label', label);
    this.#button.classList.toggle('busy', busy);
    this.#changed();
  }

  /** As tall as its text; only works on the page. */
  fit(): void {
    if (!this.#box.isConnected) return;
    this.#box.style.height = 'auto';
    this.#box.style.height = `${this.#box.scrollHeight}px`;
  }

  /** Not on touch screens: there it would open the keyboard over the page. */
  focus(): void {
    if (window.matchMedia('(pointer: fine)').matches) this.#box.focus();
  }

  #changed(): void {
    this.#button.disabled = !this.#busy && this.#box.value.trim() === '';
    this.fit();
  }

  #press(): void {
    if (this.#busy) return this.#events.onStop();
    const text = this.#box.value.trim();
    if (!text) return;
    this.#box.value = '';
    this.#events.onSend(text); // before the button could be switched off and lose the focus
    this.#changed();
  }
}
