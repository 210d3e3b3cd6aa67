/** What can be done next in a recorded session: stands between the messages and the box. */
import { button, h, type Child } from '../dom.ts';
import { plural } from '../format.ts';
import { remoteDetails, type RemoteChoice } from '../remote/form.ts';
import { recordedList } from './offer.ts';
import type { Session } from './sessions.ts';

export interface NextEvents {
  readonly onSkip: () => void;
  readonly onAsk: () => void;
  readonly onPlay: (session: Session) => void;
  readonly onAgain: () => void;
  /** To the choice of a model. */
  readonly onModel: () => void;
  readonly onRemote: (choice: RemoteChoice) => void;
}

export class NextSteps {
  readonly element = h('div', { class: 'recorded-next' });
  readonly #id: string;
  readonly #events: NextEvents;

  /** @param id of the session that is played */
  constructor(id: string, events: NextEvents) {
    this.#id = id;
    this.#events = events;
  }

  #show(...children: readonly Child[]): void {
    const hadFocus = this.element.contains(document.activeElement);
    this.element.replaceChildren(...children.filter((child) => child !== null));
    if (hadFocus) this.element.querySelector('button')?.focus();
  }

  showPlaying(): void {
    this.#show(button('Skip to the end of the answer', 'quiet compact', this.#events.onSkip));
  }

  /** @param cutAt the most tokens of the recording, where they ended the answer; null: it ended by itself */
  showQuestion(question: string, cutAt: number | null): void {
    this.#show(cutText(cutAt), button(`Next question: ${question}`, 'primary', this.#events.onAsk));
  }

  showEnd(cutAt: number | null): void {
    const { onAgain, onPlay } = this.#events;
    this.#show(
      cutText(cutAt),
      h('p', {}, 'The recording ends here.'),
      this.#ways(button('Play again', 'quiet compact', onAgain)),
      h(
        'details',
        { class: 'recorded-more' },
        h('summary', {}, 'Other recordings'),
        recordedList((session) => onPlay(session), this.#id),
      ),
    );
  }

  /** The visitor has written something of their own. @param onBack to the recording */
  showNeedsModel(onBack: () => void): void {
    this.#show(
      h(
        'p',
        { role: 'alert' },
        'This is a recording: nothing here can answer. For your own message a model has to be loaded, or a server has to answer. It is kept, and stands in the box then.',
      ),
      this.#ways(button('Go on with the recording', 'quiet compact', onBack)),
    );
  }

  #ways(...more: readonly HTMLElement[]): HTMLElement {
    const { onModel, onRemote } = this.#events;
    return h(
      'div',
      { class: 'ways' },
      h('div', { class: 'actions' }, button('Choose a model', 'primary compact', onModel), ...more),
      remoteDetails(onRemote),
    );
  }
}

const cutText = (cutAt: number | null): HTMLElement | null =>
  cutAt === null ? null : h('p', { class: 'muted small' }, `This answer was cut at ${plural(cutAt, 'token')}.`);
