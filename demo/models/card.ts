/** One model of the list: what it is, what it takes, and the sum behind the verdict. */
import { button, h } from '../dom.ts';
import { formatBytes } from '../format.ts';
import type { CatalogueEntry } from './catalogue.ts';
import { arithmetic, loadText, PRECISION, shapeText, VERDICT, verdictText } from './words.ts';

function sum({ figures }: CatalogueEntry): HTMLElement {
  const row = (name: string, bytes: number): HTMLElement =>
    h('tr', {}, h('th', { scope: 'row' }, name), h('td', {}, formatBytes(bytes)));
  const { allOnCard, plan } = figures;
  const all = (['as-is', 'q8', 'q4'] as const).map((p) => `${formatBytes(allOnCard[p])} ${PRECISION[p]}`);
  return h(
    'details',
    { class: 'sum' },
    h('summary', {}, 'The arithmetic'),
    h('p', { class: 'small' }, verdictText(figures)),
    h(
      'table',
      { class: 'small numbers' },
      h('caption', { class: 'muted' }, `Graphics memory, weights in ${PRECISION[plan.precision]}`),
      h('tbody', {}, ...arithmetic(figures).map(([name, bytes]) => row(name, bytes))),
    ),
    h('p', { class: 'muted small' }, `With every expert on the card: ${all.join(', ')}.`),
  );
}

export function modelCard(entry: CatalogueEntry, withSpeed: boolean, onChoose: () => void): HTMLElement {
  const { name, id, licence, figures } = entry;
  const { verdict } = figures.plan;
  const choose = button('Choose', 'quiet compact', onChoose);
  choose.setAttribute('aria-label', `Choose ${name}`);
  return h(
    'li',
    { class: 'offer', 'data-id': id },
    h(
      'div',
      { class: 'offer-head' },
      h('h3', {}, name),
      h('span', { class: 'badge', 'data-verdict': verdict }, VERDICT[verdict]),
    ),
    h('p', { class: 'muted small origin' }, `${id} · ${licence}`),
    h('p', { class: 'small numbers' }, shapeText(figures)),
    h('p', { class: 'small numbers' }, loadText(figures, withSpeed)),
    h('div', { class: 'offer-foot' }, sum(entry), choose),
  );
}
