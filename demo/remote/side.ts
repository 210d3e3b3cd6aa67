/** Who answers, in sight all the time. */
import { h } from '../dom.ts';

/** @param server null: this computer does */
export const sideBadge = (server: string | null): HTMLElement =>
  h(
    'p',
    { class: 'answers-side', 'data-side': server === null ? 'local' : 'remote' },
    server === null ? 'Answers on this computer' : `Answers at ${new URL(server).host}`,
  );
