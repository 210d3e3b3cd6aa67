/** The messages of the branch that is shown, as elements that stay while the branch changes around them. */
import type { Message } from './conversations/types.ts';
import { h } from './dom.ts';
import type { Place } from './message-tools.ts';
import { AnswerView, QuestionView, type MessageEvents } from './message-view.ts';

export interface LogState {
  readonly path: readonly Message[];
  readonly isBusy: boolean;
  readonly placeOf: (message: Message) => Place;
  /** Messages that other tabs are writing. */
  readonly elsewhere: ReadonlySet<string>;
}

export class MessageLog {
  readonly element = h('div', { class: 'column' });
  readonly #events: MessageEvents;
  readonly #origin: string | null;
  #views = new Map<string, QuestionView | AnswerView>();
  /** Stands at the end: an answer of which nothing is stored yet. */
  #pending: AnswerView | null = null;

  /** @param origin of recorded answers, in words; null: they are made now */
  constructor(events: MessageEvents, origin: string | null = null) {
    this.#events = events;
    this.#origin = origin;
  }

  view(id: string): QuestionView | AnswerView | undefined {
    return this.#views.get(id);
  }

  pending(): AnswerView {
    this.#pending = new AnswerView(null, this.#events, this.#origin);
    return this.#pending;
  }

  /** The pending answer is this message from now on. */
  settle(id: string): void {
    if (!this.#pending || this.#views.has(id)) return;
    this.#views.set(id, this.#pending);
    this.#pending = null;
  }

  dropPending(): void {
    this.#pending = null;
  }

  forget(): void {
    this.#views.clear();
    this.#pending = null;
  }

  /** @param empty what stands in place of messages */
  show({ path, isBusy, placeOf, elsewhere }: LogState, empty: () => HTMLElement): void {
    const views = new Map<string, QuestionView | AnswerView>();
    path.forEach((message, i) => {
      const isLast = i === path.length - 1 && this.#pending === null;
      const view = this.#views.get(message.id) ?? this.#create(message);
      view.show(message, { place: placeOf(message), isLast, isBusy, isElsewhere: elsewhere.has(message.id) });
      views.set(message.id, view);
    });
    this.#views = views;
    const shown = [...views.values(), ...(this.#pending ? [this.#pending] : [])].map((view) => view.element);
    this.#place(shown.length ? shown : [empty()]);
  }

  #create(message: Message): QuestionView | AnswerView {
    return message.role === 'user'
      ? new QuestionView(message, this.#events)
      : new AnswerView(message, this.#events, this.#origin);
  }

  /** Elements that stay where they are keep focus and selection. */
  #place(wanted: readonly HTMLElement[]): void {
    const { element } = this;
    for (const child of [...element.children]) if (!wanted.includes(child as HTMLElement)) child.remove();
    wanted.forEach((child, i) => {
      if (element.children[i] !== child) element.insertBefore(child, element.children[i] ?? null);
    });
  }
}
