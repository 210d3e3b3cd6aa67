/** The recorded sessions to choose from: for a first look, and where no model can be loaded. */
import { button, h } from '../dom.ts';
import { SESSIONS, type Session } from './sessions.ts';

function card({ id, title, domain }: Session, onPlay: () => void): HTMLElement {
  const play = button(title, 'quiet recorded-play', onPlay);
  play.prepend(h('span', { class: 'muted small' }, domain));
  play.dataset.session = id;
  return h('li', {}, play);
}

/** @param except one that is on the page already */
export const recordedList = (onPlay: (session: Session) => void, except?: string): HTMLElement =>
  h(
    'ul',
    { class: 'plain recorded-list' },
    ...SESSIONS.filter(({ id }) => id !== except).map((session) => card(session, () => onPlay(session))),
  );

export const recordedOffer = (onPlay: (session: Session) => void): HTMLElement =>
  h(
    'section',
    { class: 'recorded-offer', 'aria-labelledby': 'recorded-title' },
    h('h2', { id: 'recorded-title' }, 'Try without download'),
    h('p', { class: 'muted small' }, 'Chats that a model had before, played as they were. Nothing is loaded.'),
    recordedList(onPlay),
    h(
      'p',
      { class: 'muted small' },
      'Or look inside: ',
      h('a', { href: './visualiser/' }, 'which experts take each word'),
      ', on recorded traces.',
    ),
  );
