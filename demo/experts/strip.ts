/** The line over a chat whose experts are not all on the card, and what unfolds from it. */
import type { ExpertStats } from '../../src/index.ts';
import { button, h, icon, iconButton } from '../dom.ts';
import { ExpertDetails } from './details.ts';
import type { StepHistory } from './history.ts';
import { Sparkline } from './sparkline.ts';
import { approximateText, downloadText, hitRateText, isWorthShowing, stripFacts } from './words.ts';

export class ExpertStrip {
  readonly element: HTMLElement;
  readonly #approximate = h('p', { class: 'approximate', hidden: true });
  readonly #sparkline = new Sparkline();
  readonly #hitRate = h('strong', { class: 'hit-rate numbers' });
  readonly #facts = h('span', { class: 'strip-facts numbers' });
  readonly #strip: HTMLElement;
  readonly #download: HTMLElement;
  readonly #downloadText = h('span', { id: 'expert-download', class: 'numbers' });
  readonly #downloadBar = h('progress', { 'aria-labelledby': 'expert-download' });
  readonly #note: HTMLElement;
  readonly #noteText = h('span');
  readonly #details = new ExpertDetails('expert-details');
  readonly #more: HTMLButtonElement;
  #shown: readonly [ExpertStats, StepHistory] | null = null;
  #isOpen = false;
  #noteSeen: string | null = null;

  constructor() {
    this.#more = button('Details', 'quiet compact more', () => this.#setOpen(!this.#isOpen));
    this.#more.append(icon('chevron'));
    this.#more.setAttribute('aria-controls', this.#details.element.id);
    this.#more.setAttribute('aria-expanded', 'false');
    this.#strip = h(
      'div',
      { class: 'strip' },
      h('span', { class: 'rate' }, this.#sparkline.element, this.#hitRate),
      this.#facts,
      this.#more,
    );
    this.#download = h('div', { class: 'expert-download muted', hidden: true }, this.#downloadText, this.#downloadBar);
    const dismiss = iconButton('Dismiss', 'close', () => {
      this.#noteSeen = this.#noteText.textContent;
      this.#again();
    });
    this.#note = h('div', { class: 'note tier', role: 'note', hidden: true }, this.#noteText, dismiss);
    this.element = h(
      'section',
      { class: 'experts', 'aria-label': 'Experts', hidden: true },
      this.#note,
      this.#strip,
      this.#approximate,
      this.#download,
      this.#details.element,
    );
  }

  show(stats: ExpertStats, history: StepHistory): void {
    this.#shown = [stats, history];
    const worth = isWorthShowing(stats);
    this.#strip.hidden = !worth;
    const isOpen = this.#isOpen && worth;
    this.#details.element.hidden = !isOpen;
    this.#more.setAttribute('aria-expanded', String(isOpen));
    this.#sparkline.show(history.hitRates);
    setText(this.#hitRate, hitRateText(stats));
    this.#showFacts(stripFacts(stats, history.stallShare));
    const approximate = approximateText(stats);
    this.#approximate.hidden = approximate === null;
    setText(this.#approximate, approximate ?? '');
    // The details say both, too.
    this.#showDownload(isOpen ? null : stats);
    const { note } = stats.storage;
    setText(this.#noteText, note ?? '');
    const noteWanted = note !== null && note !== this.#noteSeen;
    this.#note.hidden = !noteWanted || isOpen;
    this.element.hidden = !worth && !noteWanted;
    if (isOpen) this.#details.show(stats);
  }

  /** One element a fact, so that lines break between them. */
  #showFacts(facts: readonly string[]): void {
    while (this.#facts.childElementCount < facts.length) this.#facts.append(h('span'));
    while (this.#facts.childElementCount > facts.length) this.#facts.lastElementChild?.remove();
    facts.forEach((fact, i) => setText(this.#facts.children[i]!, fact));
  }

  #showDownload(stats: ExpertStats | null): void {
    const text = stats && downloadText(stats);
    this.#download.hidden = text === null;
    if (text === null || !stats?.download) return;
    setText(this.#downloadText, text);
    this.#downloadBar.max = stats.download.totalBytes;
    this.#downloadBar.value = stats.download.loadedBytes;
  }

  #setOpen(open: boolean): void {
    this.#isOpen = open;
    this.#again();
  }

  #again(): void {
    if (this.#shown) this.show(...this.#shown);
  }
}

/** Writing the same text again would still make the browser lay out. */
function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}
