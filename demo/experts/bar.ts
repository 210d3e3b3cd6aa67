/** A share as a bar with its number: the number is what screen readers get. */
import { h } from '../dom.ts';
import { formatPercent } from '../format.ts';

export class ShareBar {
  readonly element: HTMLElement;
  readonly #fill = h('i', { 'aria-hidden': 'true' });
  readonly #text = h('span', { class: 'numbers' });

  constructor() {
    this.element = h('span', { class: 'share' }, h('span', { class: 'track' }, this.#fill), this.#text);
  }

  show(share: number, text = formatPercent(share)): void {
    this.#fill.style.inlineSize = `${100 * Math.min(1, Math.max(0, share))}%`;
    this.#text.textContent = text;
  }
}
