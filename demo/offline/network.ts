/** Says where the page needs a network that is not there. */
import { h } from '../dom.ts';

const OFFLINE = 'No connection. Models that are on this computer work as always.';
const ONLINE = 'The connection is back.';

/** Marks the page while the browser knows of no network. @param announce told of every change */
export function followNetwork(announce: (text: string) => void): void {
  const mark = (): void => {
    document.documentElement.toggleAttribute('data-offline', !navigator.onLine);
  };
  for (const [event, text] of [
    ['offline', OFFLINE],
    ['online', ONLINE],
  ] as const)
    addEventListener(event, () => {
      mark();
      announce(text);
    });
  mark();
}

/** Shown while the page is marked, by a rule of the style sheet: views come and go, and need no listeners for it. */
export const whenOffline = (text: string): HTMLElement => h('p', { class: 'when-offline small' }, text);

/** Over the other models. */
export const offlineLine = (): HTMLElement => whenOffline(OFFLINE);
