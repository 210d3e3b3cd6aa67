/** A part of the page whose code is fetched once the rest stands. */
import { h } from './dom.ts';

export function later(load: () => Promise<HTMLElement>): HTMLElement {
  const place = h('div', { class: 'later' });
  load().then(
    (part) => place.replaceWith(part),
    () =>
      place.append(
        h('p', { class: 'muted small', role: 'alert' }, 'A part of this page could not be fetched: reload it.'),
      ),
  );
  return place;
}
