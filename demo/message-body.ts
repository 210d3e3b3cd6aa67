/** The text of a message: as text, never parsed. */
import { h } from './dom.ts';

export class MessageBody {
  readonly #text = document.createTextNode('');
  readonly element = h('div', { class: 'text', dir: 'auto' }, this.#text);

  get text(): string {
    return this.#text.data;
  }

  append(text: string): void {
    this.#text.appendData(text);
  }

  /** No more comes. */
  finish(): void {
    this.#text.normalize();
  }
}
