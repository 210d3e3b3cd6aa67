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
  #latest: ExpertStats | null = null;
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
      this.#note.hidden = true;
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
    this.#latest = stats;
    const worth = isWorthShowing(stats);
    this.#strip.hidden = !worth;
    if (!worth) this.#setOpen(false);
    this.#sparkline.show(history.hitRates);
    setText(this.#hitRate, hitRateText(stats));
    setText(this.#facts, stripFacts(stats, history.stallShare).join(' · '));
    const approximate = approximateText(stats);
    this.#approximate.hidden = approximate === null;
    setText(this.#approximate, approximate ?? '');
    this.#showDownload(stats);
    const { note } = stats.storage;
    this.#note.hidden = note === null || note === this.#noteSeen;
    setText(this.#noteText, note ?? '');
    this.element.hidden = !worth && this.#note.hidden;
    if (this.#isOpen) this.#details.show(stats);
  }

  #showDownload(stats: ExpertStats): void {
    const text = downloadText(stats);
    this.#download.hidden = text === null;
    if (text === null || !stats.download) return;
    setText(this.#downloadText, text);
    this.#downloadBar.max = stats.download.totalBytes;
    this.#downloadBar.value = stats.download.loadedBytes;
  }

  #setOpen(open: boolean): void {
    this.#isOpen = open;
    if (open && this.#latest) this.#details.show(this.#latest);
    this.#details.element.hidden = !open;
    this.#more.setAttribute('aria-expanded', String(open));
  }
}

/** Writing the same text again would still make the browser lay out. */
function setText(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}
