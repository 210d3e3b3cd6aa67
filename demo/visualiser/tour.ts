/** Seven steps through a bundled trace; the last hands over to the visitor's own prompt. */
import { button, h } from '../dom.ts';
import { groupWith, type Group } from './groups.ts';
import { recall, remember } from '../remember.ts';

interface Step {
  readonly title: string;
  readonly text: string;
  /** The view that the step is about, with its state. */
  readonly view: string;
}

const STEPS: readonly Step[] = [
  {
    title: 'A token takes a few experts',
    text: 'In every layer a router picks some of the experts for each token; the others rest. A row of the grid is a layer, the filled cells are the experts that this token took. Drag the token slider, or press play.',
    view: 'view=moe-token-grid&token=24',
  },
  {
    title: 'The router gives each expert a score',
    text: 'All scores of one layer for one token: the best K are taken. A small gap between the last one in and the first one out means that it could easily have gone the other way.',
    view: 'view=moe-router-bars&token=24&layer=11',
  },
  {
    title: 'Some experts are busier than others',
    text: 'Counted over all tokens: orange is above an even load, blue below. The line under the picture says how much of that chance alone would give.',
    view: 'view=moe-heatmap',
  },
  {
    title: 'Next to each other, tokens share experts',
    text: 'If routing had no memory, the overlap from one token to the next would lie in the grey band. Here the first layers do, and later ones lie above it: on that a cache of experts can live.',
    view: 'view=moe-repetition&layer=20',
  },
  {
    title: 'Experts like kinds of words more than topics',
    text: 'Punctuation, digits, capitals: which experts take more of them than their share. Papers on other models found the same: syntax before topic.',
    view: 'view=moe-vocabulary&layer=10',
  },
  {
    title: 'With few slots, it matters who stays',
    text: 'The same trace, replayed with less memory: how often the wanted expert is already there, by the rule that chooses who leaves. A rule below the dashed line does worse than chance; Belady knows the future, and no rule can do better.',
    view: 'view=moe-policies',
  },
  {
    title: 'Now yours',
    text: 'Load the model in this tab and ask it something: the same views follow it token by token. Then switch an expert off and see what changes.',
    view: 'view=moe-interventions',
  },
];

const SEEN = 'webmoe-tour-seen';

export interface TourEvents {
  readonly go: (group: Group, view: string) => void;
  /** It is over: the focus needs a place. */
  readonly onEnd: () => void;
  /** ... and the visitor wants to ask the model. */
  readonly onAsk: () => void;
}

export class Tour {
  readonly element = h('section', { class: 'tour', 'aria-label': 'Tour', hidden: true });
  readonly #events: TourEvents;
  #at = 0;

  constructor(events: TourEvents) {
    this.#events = events;
    this.element.addEventListener('keydown', ({ key }) => {
      if (key === 'Escape') this.#end();
    });
    if (recall(SEEN) === null) this.#invite();
  }

  start(): void {
    this.#show(0);
  }

  #invite(): void {
    this.element.hidden = false;
    this.element.replaceChildren(
      h('p', {}, h('strong', {}, 'New here? '), 'Seven steps show what the views say, on a recorded chat.'),
      h(
        'div',
        { class: 'line' },
        button('Start the tour', 'primary compact', () => this.start()),
        button('Not now', 'quiet compact', () => this.#end()),
      ),
    );
  }

  #show(at: number): void {
    this.#at = at;
    const step = STEPS[at]!;
    const isLast = at === STEPS.length - 1;
    this.element.classList.add('running');
    const title = h('h2', { tabindex: -1 }, `${at + 1} of ${STEPS.length}: ${step.title}`);
    this.element.hidden = false;
    this.element.replaceChildren(
      title,
      h('p', {}, step.text),
      h(
        'div',
        { class: 'line' },
        at > 0 ? button('Back', 'quiet compact', () => this.#show(this.#at - 1)) : null,
        isLast
          ? button('Ask the model', 'primary compact', () => (this.#end(), this.#events.onAsk()))
          : button('Next', 'primary compact', () => this.#show(this.#at + 1)),
        button('End the tour', 'quiet compact', () => this.#end()),
      ),
    );
    const view = new URLSearchParams(step.view);
    this.#events.go(groupWith(view.get('view')!)!, step.view);
    title.focus({ preventScroll: true });
  }

  #end(): void {
    remember(SEEN, '1');
    this.element.hidden = true;
    this.element.classList.remove('running');
    this.#events.onEnd();
  }
}
