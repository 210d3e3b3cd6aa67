/** Plays a recorded session as if a model answered. It says that it is one, over every answer and over the whole. */
import { Answering } from '../answering.ts';
import { Composer } from '../composer.ts';
import { Library } from '../conversations/library.ts';
import { Thread } from '../conversations/thread.ts';
import type { Message } from '../conversations/types.ts';
import { h } from '../dom.ts';
import { setDraft, setOpenConversation } from '../drafts.ts';
import { MessageLog } from '../message-log.ts';
import { badge } from '../remote/side.ts';
import { ScrollingLog } from '../scrolling-log.ts';
import { recordedAnswers, type RecordedAnswers } from './answers.ts';
import { NextSteps, type NextEvents } from './next.ts';
import { originOf, type Recording } from './recording.ts';

export interface RecordedParts extends Pick<NextEvents, 'onModel' | 'onRemote' | 'onPlay'> {
  readonly recording: Recording;
  /** Answers come whole. */
  readonly isInstant: boolean;
  readonly announce: (text: string) => void;
  readonly say: (sentence: string | null) => void;
}

export class RecordedView {
  readonly element: HTMLElement;
  readonly #parts: RecordedParts;
  readonly #answers: RecordedAnswers;
  readonly #messages: MessageLog;
  readonly #log: ScrollingLog;
  readonly #composer: Composer;
  readonly #next: NextSteps;
  readonly #answering: Answering;
  readonly #disposal = new AbortController();
  #thread: Thread;

  constructor(parts: RecordedParts) {
    this.#parts = parts;
    const { recording, isInstant, announce, say } = parts;
    const origin = originOf(recording);
    this.#answers = recordedAnswers(recording, { isInstant });
    this.#thread = this.#newThread();
    this.#messages = new MessageLog(
      { announce, changes: null, onContinue: (message) => void this.#play(() => this.#answering.goOn(message)) },
      origin,
    );
    this.#log = new ScrollingLog(this.#messages.element);
    this.#composer = new Composer(
      { onSend: (text) => this.#refuse(text), onStop: () => this.#thread.stop(), onInput: () => undefined },
      `Revision ${recording.model.revision}, weights ${recording.model.weights}, seed ${recording.seed}. Small models make things up.`,
    );
    this.#next = new NextSteps(recording.id, {
      ...parts,
      onSkip: () => this.#answers.skip(),
      onAsk: () => void this.#ask(),
      onAgain: () => this.#again(),
    });
    this.#answering = new Answering({
      messages: this.#messages,
      log: this.#log,
      contextLength: Number.POSITIVE_INFINITY,
      announce,
      say,
      thread: () => this.#thread,
      onBusy: (busy) => this.#setBusy(busy),
      render: () => this.#render(),
      onEnd: () => undefined,
      onAgain: (asked: Message) => void this.#play(() => this.#answering.answer(asked)),
      onRegenerate: () => this.#again(),
      onNewChat: () => this.#again(),
    });
    this.element = h(
      'div',
      { class: 'chat recorded' },
      h(
        'div',
        { class: 'chat-main' },
        badge('recorded', origin),
        this.#log.element,
        this.#next.element,
        this.#composer.element,
      ),
    );
    this.#listen();
  }

  /** In memory only: what is played here is not the visitor's. */
  #newThread(): Thread {
    return new Thread({ library: new Library(), model: this.#answers, modelName: this.#parts.recording.model.name });
  }

  #listen(): void {
    const { signal } = this.#disposal;
    document.addEventListener(
      'keydown',
      ({ key }) => {
        if (key === 'Escape' && !document.querySelector('dialog[open]')) this.#thread.stop();
      },
      { signal },
    );
  }

  /** Once it is on the page. */
  async start(): Promise<void> {
    this.#composer.fit();
    await this.#ask();
  }

  get #asked(): number {
    return this.#thread.path.filter(({ role }) => role === 'user').length;
  }

  /** Asks the next question of the recording. */
  #ask(): Promise<void> {
    const question = this.#thread.ask(this.#parts.recording.turns[this.#asked]!.question);
    return this.#play(() => this.#answering.answer(question));
  }

  async #play(answer: () => Promise<{ readonly thread: Thread }>): Promise<void> {
    this.#next.showPlaying();
    const { thread } = await answer();
    if (thread !== this.#thread || this.#disposal.signal.aborted) return;
    this.#showNext();
  }

  #showNext(): void {
    const { turns } = this.#parts.recording;
    const asked = this.#asked;
    const last = this.#thread.path.at(-1);
    const isWhole = last?.role === 'assistant' && last.state === 'complete';
    const { finishReason, generatedTokens } = turns[asked - 1]!.end;
    const cutAt = isWhole && finishReason === 'length' ? generatedTokens : null;
    const next = turns[asked];
    if (next) this.#next.showQuestion(next.question, cutAt);
    else this.#next.showEnd(cutAt);
    this.#log.toEnd();
  }

  #again(): void {
    this.#thread.stop();
    this.#messages.forget();
    this.#thread = this.#newThread();
    void this.#ask();
  }

  /** The message waits in the box of the next new chat. */
  #refuse(text: string): void {
    setDraft(null, text);
    setOpenConversation(null);
    this.#next.showNeedsModel(() => this.#showNext());
  }

  #setBusy(busy: boolean): void {
    this.#log.isBusy = busy;
    this.#composer.setBusy(busy);
  }

  #render(): void {
    const { path, isBusy } = this.#thread;
    const place = { index: 0, count: 1 };
    this.#messages.show({ path, isBusy, placeOf: () => place, elsewhere: new Set() }, () => h('div'));
  }

  dispose(): void {
    this.#disposal.abort();
    this.#log.dispose();
    void this.#thread.close();
  }
}
