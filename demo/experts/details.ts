/** Everything the expert store tells, for those who want to know: by layer, by tier, and where experts are kept. */
import type { ExpertStats, LayerStats } from '../../src/index.ts';
import { h } from '../dom.ts';
import { formatBytes, formatCount, formatPercent, formatSeconds, plural } from '../format.ts';
import { ShareBar } from './bar.ts';
import { approximateText, downloadFact, STORAGE } from './words.ts';

/** A name beside a value; hidden when there is nothing to say. */
class Fact {
  readonly value = h('dd');
  readonly element: HTMLElement;

  constructor(name: string) {
    this.element = h('div', {}, h('dt', {}, name), this.value);
  }

  show(text: string | null): void {
    this.element.hidden = text === null;
    this.value.textContent = text;
  }
}

class LayerRow {
  readonly element: HTMLElement;
  readonly #resident = new ShareBar();
  readonly #hits = new ShareBar();
  readonly #overlap = h('td', { class: 'numbers overlap' });

  constructor(number: number) {
    const cell = (bar: ShareBar): HTMLElement => h('td', {}, bar.element);
    this.element = h(
      'tr',
      {},
      h('th', { scope: 'row' }, String(number)),
      cell(this.#resident),
      cell(this.#hits),
      this.#overlap,
    );
  }

  show({ experts, resident, hitRate, overlap }: LayerStats): void {
    this.#resident.show(resident / experts, `${formatCount(resident)} of ${formatCount(experts)}`);
    this.#hits.show(hitRate);
    this.#overlap.textContent = formatPercent(overlap);
  }
}

export class ExpertDetails {
  readonly element: HTMLElement;
  readonly #facts = {
    exactness: new Fact('Answers'),
    slots: new Fact('On the card'),
    hitRate: new Fact('Hit rate since loading'),
    waited: new Fact('Waited'),
    streamed: new Fact('Streamed from'),
    storage: new Fact('Kept'),
    download: new Fact('Download'),
  };
  readonly #rows = h('tbody');
  #layers: LayerRow[] = [];

  constructor(id: string) {
    const head = (text: string): HTMLElement => h('th', { scope: 'col' }, text);
    this.element = h(
      'div',
      { id, class: 'expert-details', hidden: true, tabindex: 0, role: 'region', 'aria-label': 'Experts in detail' },
      h('dl', { class: 'facts' }, ...Object.values(this.#facts).map((fact) => fact.element)),
      h(
        'table',
        {},
        h('caption', {}, 'By layer'),
        h(
          'thead',
          {},
          h(
            'tr',
            {},
            head('Layer'),
            head('On the card'),
            head('Hit rate'),
            h('th', { scope: 'col', class: 'overlap' }, 'Same as before'),
          ),
        ),
        this.#rows,
      ),
      h(
        'p',
        { class: 'muted small' },
        'A hit is an expert that was on the card when a word needed it. “Same as before”: of a word’s experts, how many the word before had used.',
      ),
    );
  }

  show(stats: ExpertStats): void {
    const { bytes, storage, hitRate } = stats;
    const facts = this.#facts;
    facts.exactness.show(approximateText(stats) ?? 'exactly as the model computes them');
    facts.slots.show(
      `${formatCount(stats.resident)} of ${plural(stats.experts, 'expert')}, room for ${formatCount(stats.slots)} (${formatBytes(stats.slots * stats.slotBytes)}), ${stats.mode}`,
    );
    facts.hitRate.show(hitRate === null ? 'no word yet' : formatPercent(hitRate));
    facts.waited.show(
      `${formatSeconds(stats.stallMs)} in ${plural(stats.steps, 'step')}` +
        (stats.replays ? `, ${plural(stats.replays, 'replay')}` : ''),
    );
    facts.streamed.show(
      `memory ${formatBytes(bytes.memory)}, disk ${formatBytes(bytes.disk)}, network ${formatBytes(bytes.network)}`,
    );
    facts.storage.show(STORAGE[storage.kind] + (storage.note ? `. ${storage.note}` : ''));
    facts.download.show(downloadFact(stats));
    if (this.#layers.length !== stats.layers.length) {
      this.#layers = stats.layers.map((_, i) => new LayerRow(i + 1));
      this.#rows.replaceChildren(...this.#layers.map((row) => row.element));
    }
    stats.layers.forEach((layer, i) => this.#layers[i]!.show(layer));
  }
}
