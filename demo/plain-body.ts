/** The text of a message, as it was written. */
import { h } from './dom.ts';

export interface TextBody {
  readonly element: HTMLElement;
  /** The source, as it came. */
  readonly text: string;
  append(text: string): void;
  /** No more comes. */
  finish(): void;
}

export class PlainBody implements TextBody {
  readonly #text = document.createTextNode('');
  readonly element = h('div', { class: 'text', dir: 'auto' }, this.#text);

  get text(): string {
    return this.#text.data;
  }

  append(text: string): void {
    this.#text.appendData(text);
  }

  finish(): void {
    this.#text.normalize();
  }
}
