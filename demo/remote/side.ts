/** Who answers, in sight all the time. */
import { h } from '../dom.ts';

export const badge = (side: 'local' | 'remote' | 'recorded', text: string): HTMLElement =>
  h('p', { class: 'answers-side', 'data-side': side }, text);

/** @param server null: this computer does */
export const sideBadge = (server: string | null): HTMLElement =>
  server === null ? badge('local', 'Answers on this computer') : badge('remote', `Answers at ${new URL(server).host}`);
