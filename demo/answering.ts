/** One answer after the other on the page: its stream while it comes, how it ended, and what to do when it went wrong. */
import { WebmoeError } from '../src/index.ts';
import { Sentences } from './answers/sentences.ts';
import type { Listener, Outcome, Thread } from './conversations/thread.ts';
import type { Message } from './conversations/types.ts';
import { formatCount } from './format.ts';
import type { MessageLog } from './message-log.ts';
import type { AnswerView } from './message-view.ts';
import type { Action } from './problem-view.ts';
import { isContextFull } from './problem.ts';
import { CannotContinue } from './remote/continuation.ts';
import type { ScrollingLog } from './scrolling-log.ts';
import { MAX_ANSWER_TOKENS } from './settings/fields.ts';
import { Stream } from './stream.ts';

export interface AnsweringParts {
  readonly messages: MessageLog;
  readonly log: ScrollingLog;
  readonly contextLength: number;
  /** Read out by screen readers. */
  readonly announce: (text: string) => void;
  /** The same, sentence by sentence; null starts anew. */
  readonly say: (sentence: string | null) => void;
  /** The conversation that is shown. */
  readonly thread: () => Thread;
  readonly onBusy: (busy: boolean) => void;
  readonly render: () => void;
  /** An answer has ended on the page. */
  readonly onEnd: () => void;
  /** Asks again. */
  readonly onAgain: (asked: Message) => void;
  /** Another answer in place of one that cannot be gone on with. */
  readonly onRegenerate: (answer: Message) => void;
  readonly onNewChat: () => void;
}

export interface Ended {
  readonly thread: Thread;
  readonly result: Outcome;
}

export class Answering {
  readonly #parts: AnsweringParts;

  constructor(parts: AnsweringParts) {
    this.#parts = parts;
  }

  answer(question: Message): Promise<Ended> {
    return this.#run(null, question, (thread, listener) => thread.answer(question, listener));
  }

  /** Goes on with an answer that is there. */
  goOn(answer: Message): Promise<Ended> {
    return this.#run(answer, answer, (thread, listener) => thread.goOn(answer, listener));
  }

  /** @param answer what is gone on with; null: a new one. @param asked what is asked again when it fails */
  async #run(
    answer: Message | null,
    asked: Message,
    work: (thread: Thread, listener: Listener) => Promise<Outcome>,
  ): Promise<Ended> {
    const { messages, log, render, onBusy } = this.#parts;
    const thread = this.#parts.thread();
    const known = answer && messages.view(answer.id);
    const view = (known as AnswerView | undefined) ?? messages.pending();
    if (known) view.reopen();
    view.clearNotes();
    view.waiting('Reading your message');
    const stream = new Stream(view, (change) => log.following(change));
    const sentences = new Sentences(this.#parts.say);
    this.#parts.say(null);
    const isShown = (): boolean => thread === this.#parts.thread();
    const done = work(thread, {
      onText: (text, tokens) => {
        if (!isShown()) return;
        if (thread.writing) messages.settle(thread.writing);
        stream.push(text, tokens);
        sentences.push(text);
      },
      onPrompt: (progress) =>
        view.waiting(`Reading your message: ${formatCount(progress.done)} of ${formatCount(progress.total)} tokens`),
    });
    onBusy(true);
    render();
    log.toEnd();
    const result = await done;
    if (!isShown()) return { thread, result };
    log.following(() => {
      stream.flush();
      view.finish();
      sentences.finish();
      this.#conclude(result, view, asked);
    });
    this.#parts.onEnd();
    return { thread, result };
  }

  #conclude(result: Outcome, view: AnswerView, asked: Message): void {
    const { messages, onBusy, render } = this.#parts;
    const message = result.kind === 'nothing' ? null : result.message;
    if (message) messages.settle(message.id);
    const isKept = result.kind === 'failed' && !message;
    if (!isKept) messages.dropPending();
    onBusy(false);
    render();
    if (result.kind === 'failed') this.#showFailure(result.error, view, asked);
    else if (result.kind === 'answered') this.#showEnd(result.message, result.contextFull, view);
  }

  #newChat(): Action {
    return { label: 'New chat', run: this.#parts.onNewChat };
  }

  #showFailure(error: unknown, view: AnswerView, asked: Message): void {
    const { contextLength, messages, onAgain, onRegenerate } = this.#parts;
    const again: Action = {
      label: 'Try again',
      run: () => {
        view.clearNotes();
        messages.dropPending();
        onAgain(asked);
      },
    };
    if (error instanceof CannotContinue) {
      view.note(error.message, [{ label: 'Regenerate', run: () => onRegenerate(asked) }], true);
      return;
    }
    if (isContextFull(error)) {
      const length = formatCount(contextLength);
      view.note(`This message does not fit: the conversation holds ${length} tokens in all.`, [this.#newChat()], true);
      return;
    }
    const said = error instanceof WebmoeError ? error.message : 'Something went wrong while answering.';
    view.note(said, [again, this.#newChat()], true);
  }

  #showEnd(message: Message, contextFull: boolean, view: AnswerView): void {
    if (!message.content) this.#parts.announce('The answer is empty.');
    if (contextFull)
      view.note('The conversation fills the model’s context. Start a new chat to go on.', [this.#newChat()]);
    else if (message.state === 'cut') {
      const most = this.#parts.thread().info.settings.maxTokens ?? MAX_ANSWER_TOKENS;
      view.note(`The answer was cut at ${formatCount(most)} tokens.`, []);
    }
  }
}
