/** What can be done next in a recorded session: stands between the messages and the box. */
import { button, h, type Child } from '../dom.ts';
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

  showQuestion(question: string): void {
    this.#show(button(`Next question: ${question}`, 'primary', this.#events.onAsk));
  }

  showEnd(): void {
    const { onAgain, onPlay } = this.#events;
    this.#show(
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

  /** The visitor has written something of their own. */
  showNeedsModel(): void {
    this.#show(
      h(
        'p',
        { role: 'alert' },
        'This is a recording: nothing here can answer. For your own message a model has to be loaded, or a server has to answer. It is kept, and stands in the box then.',
      ),
      this.#ways(),
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
