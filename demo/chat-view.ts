/** The conversation on the page: messages, streaming, what went wrong, and the composer. */
import { WebmoeError } from '../src/index.ts';
import { MAX_ANSWER_TOKENS, type Conversation, type Outcome } from './chat.ts';
import { Composer } from './composer.ts';
import { button, h } from './dom.ts';
import { formatCount } from './format.ts';
import { AnswerView, summaryLine, userMessage } from './message-view.ts';
import { isContextFull } from './problem.ts';

const EXAMPLES = [
  'What is the capital of France?',
  'Write a short poem about the sea.',
  'Explain gravity to a child in two sentences.',
] as const;

/** Closer to the end than this, in pixels, and the page follows the answer. */
const FOLLOW_WITHIN = 64;

export interface ChatViewOptions {
  readonly conversation: Conversation;
  readonly modelName: string;
  readonly adapter: string;
  readonly contextLength: number;
  /** Read out by screen readers, once an answer is complete. */
  readonly announce: (text: string) => void;
  /** What was being written before a reload. */
  readonly draft?: string;
  /** Stands over the conversation. */
  readonly above?: readonly HTMLElement[];
}

export class ChatView {
  readonly element: HTMLElement;
  readonly #options: ChatViewOptions;
  readonly #log: HTMLElement;
  readonly #column: HTMLElement;
  readonly #composer: Composer;
  /** What stands over the log comes and goes, formulas and colours come late: the end stays in sight if it was. */
  readonly #resized = new ResizeObserver(() => {
    if (this.#atEnd) this.#log.scrollTop = this.#log.scrollHeight;
  });
  #atEnd = true;
  #pending: string | null = null;
  /** Counts new chats: an answer that belongs to an earlier one is not shown. */
  #chatNumber = 0;
  readonly #onKey = (event: KeyboardEvent): void => {
    // A dialog over the page takes Esc for itself.
    if (event.key === 'Escape' && !document.querySelector('dialog[open]')) this.#conversation.stop();
  };

  constructor(options: ChatViewOptions) {
    this.#options = options;
    this.#column = h('div', { class: 'column' });
    this.#log = h('section', { class: 'log', 'aria-label': 'Conversation', tabindex: 0 }, this.#column);
    this.#composer = new Composer(
      { onSend: (text) => void this.#send(text), onStop: () => this.#conversation.stop() },
      `${options.modelName} runs in this tab, on ${options.adapter}. Small models make things up.`,
    );
    this.element = h('div', { class: 'chat' }, ...(options.above ?? []), this.#log, this.#composer.element);
    this.#log.addEventListener('scroll', () => (this.#atEnd = this.#follows));
    this.#resized.observe(this.#log);
    this.#resized.observe(this.#column);
    this.#restore();
    this.#composer.text = options.draft ?? '';
    document.addEventListener('keydown', this.#onKey);
  }

  get #conversation(): Conversation {
    return this.#options.conversation;
  }

  /** What would be lost with the page: the question under way, or the text in the box. */
  get draft(): string {
    return this.#pending ?? this.#composer.text;
  }

  /** Once it is on the page. */
  shown(): void {
    this.#composer.fit();
    this.#composer.focus();
    this.#log.scrollTop = this.#log.scrollHeight;
  }

  async newChat(): Promise<void> {
    this.#chatNumber++;
    await this.#conversation.clear();
    this.#pending = null;
    this.#setBusy(false);
    this.#restore();
    this.#composer.focus();
  }

  dispose(): void {
    document.removeEventListener('keydown', this.#onKey);
    this.#resized.disconnect();
    this.#conversation.stop();
  }

  #restore(): void {
    const { messages } = this.#conversation;
    const shown = messages.map(({ role, content }) =>
      role === 'user' ? userMessage(content) : new AnswerView(content).element,
    );
    this.#column.replaceChildren(...(shown.length ? shown : [this.#welcome()]));
  }

  #welcome(): HTMLElement {
    return h(
      'div',
      { class: 'welcome' },
      h('h1', {}, 'Ask something'),
      h('div', { class: 'examples' }, ...EXAMPLES.map((text) => button(text, 'quiet', () => void this.#send(text)))),
    );
  }

  async #send(question: string): Promise<void> {
    if (this.#conversation.isBusy) return;
    if (this.#conversation.messages.length === 0) this.#column.replaceChildren();
    const asked = userMessage(question);
    const answer = new AnswerView();
    answer.waiting('Reading your message');
    this.#column.append(asked, answer.element);
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#pending = question;
    this.#setBusy(true);
    const chatNumber = this.#chatNumber;
    const stream = new Stream(answer, (change) => this.#following(change));
    const outcome = await this.#conversation.ask(question, {
      onText: (text, tokens) => stream.push(text, tokens),
      onPrompt: ({ done, total }) =>
        answer.waiting(`Reading your message: ${formatCount(done)} of ${formatCount(total)} tokens`),
    });
    if (chatNumber !== this.#chatNumber) return;
    this.#pending = null;
    this.#following(() => {
      stream.flush();
      this.#conclude(outcome, question, asked, answer);
    });
    this.#setBusy(false);
    if (!this.#composer.text) this.#composer.focus();
  }

  #conclude(outcome: Outcome, question: string, asked: HTMLElement, answer: AnswerView): void {
    const newChat = { label: 'New chat', run: () => void this.newChat() };
    if (outcome.kind === 'failed') {
      answer.finish('');
      const again = { label: 'Try again', run: () => void this.#retry(question, asked, answer) };
      if (isContextFull(outcome.error)) {
        const length = formatCount(this.#options.contextLength);
        answer.note(
          `This message does not fit: the conversation holds ${length} tokens in all.`,
          [newChat, again],
          true,
        );
      } else {
        const { error } = outcome;
        const said = error instanceof WebmoeError ? error.message : 'Something went wrong while answering.';
        answer.note(said, [again, newChat], true);
      }
      return;
    }
    const { summary, contextFull } = outcome;
    if (!summary.text && summary.finishReason === 'abort') return this.#takeBack(question, asked, answer);
    answer.finish(summaryLine(summary));
    if (contextFull) answer.note('The conversation fills the model’s context. Start a new chat to go on.', [newChat]);
    else if (summary.finishReason === 'length')
      answer.note(`The answer was cut at ${formatCount(MAX_ANSWER_TOKENS)} tokens.`, []);
    this.#options.announce(summary.text || 'The answer is empty.');
  }

  /** Stopped before the first word: the question goes back into the box. */
  #takeBack(question: string, asked: HTMLElement, answer: AnswerView): void {
    this.#remove(asked, answer);
    if (!this.#composer.text) this.#composer.text = question;
  }

  async #retry(question: string, asked: HTMLElement, answer: AnswerView): Promise<void> {
    if (this.#conversation.isBusy) return;
    this.#remove(asked, answer);
    await this.#send(question);
  }

  #remove(asked: HTMLElement, answer: AnswerView): void {
    asked.remove();
    answer.element.remove();
    if (!this.#column.hasChildNodes()) this.#restore();
  }

  #setBusy(busy: boolean): void {
    this.#log.setAttribute('aria-busy', String(busy));
    this.#composer.setBusy(busy);
  }

  get #follows(): boolean {
    const { scrollHeight, scrollTop, clientHeight } = this.#log;
    return scrollHeight - scrollTop - clientHeight < FOLLOW_WITHIN;
  }

  /** Changes the log and stays at its end, unless the reader has scrolled up. */
  #following(change: () => void): void {
    const follows = this.#follows;
    change();
    if (follows) this.#log.scrollTop = this.#log.scrollHeight;
  }
}

/** Tokens come faster than frames: writes once a frame. */
class Stream {
  readonly #answer: AnswerView;
  readonly #write: (change: () => void) => void;
  #text = '';
  #tokens = 0;
  #frame: number | null = null;

  constructor(answer: AnswerView, write: (change: () => void) => void) {
    this.#answer = answer;
    this.#write = write;
  }

  push(text: string, tokens: number): void {
    this.#text += text;
    this.#tokens = tokens;
    this.#frame ??= requestAnimationFrame(() => this.#write(() => this.flush()));
  }

  flush(): void {
    if (this.#frame === null) return;
    cancelAnimationFrame(this.#frame);
    this.#frame = null;
    this.#answer.append(this.#text, this.#tokens);
    this.#text = '';
  }
}
