/** The chat on the page: the list of conversations, the open one with its stream, what went wrong, and the composer. */
import { WebmoeError } from '../src/index.ts';
import { Sentences } from './answers/sentences.ts';
import { Composer } from './composer.ts';
import { beingWritten } from './conversations/locks.ts';
import { shelf } from './conversations/shelf.ts';
import { Side } from './conversations/side.ts';
import { Thread, type Listener, type Outcome, type ThreadParts } from './conversations/thread.ts';
import type { ConversationPanel } from './conversations/panel.ts';
import type { Message } from './conversations/types.ts';
import { button, h, iconButton } from './dom.ts';
import { draftOf, openConversation, setDraft, setOpenConversation } from './drafts.ts';
import { formatCount } from './format.ts';
import { openKeys } from './keys-dialog.ts';
import { keys, type Key } from './keys.ts';
import { MessageLog } from './message-log.ts';
import type { AnswerView, MessageEvents } from './message-view.ts';
import type { Action } from './problem-view.ts';
import { isContextFull } from './problem.ts';
import { openSettings } from './settings/dialog.ts';
import { MAX_ANSWER_TOKENS } from './settings/fields.ts';
import { sharedCard } from './share/card.ts';
import { openShare } from './share/dialog.ts';
import { IncomingLink } from './share/incoming.ts';
import { Stream } from './stream.ts';
import { Toasts } from './toasts.ts';

const EXAMPLES = [
  'What is the capital of France?',
  'Write a short poem about the sea.',
  'Explain gravity to a child in two sentences.',
] as const;

/** Closer to the end than this, in pixels, and the page follows the answer. */
const FOLLOW_WITHIN = 64;

export interface ChatViewOptions extends ThreadParts {
  /** Stands under the box to write in. */
  readonly footnote: string;
  readonly contextLength: number;
  /** Read out by screen readers. */
  readonly announce: (text: string) => void;
  /** The same, sentence by sentence; null starts anew. */
  readonly say: (sentence: string | null) => void;
  /** Stands over the conversation. */
  readonly above?: readonly HTMLElement[];
}

export class ChatView {
  readonly element: HTMLElement;
  /** For the header. */
  readonly lead: readonly HTMLElement[];
  readonly tools: readonly HTMLElement[];
  readonly #options: ChatViewOptions;
  readonly #log: HTMLElement;
  readonly #messages: MessageLog;
  readonly #composer: Composer;
  readonly #toasts: Toasts;
  readonly #panel: ConversationPanel;
  readonly #side: Side;
  readonly #link: IncomingLink;
  readonly #disposal = new AbortController();
  #thread: Thread;
  #elsewhere: ReadonlySet<string> = new Set();
  #atEnd = true;

  constructor(options: ChatViewOptions) {
    this.#options = options;
    this.#toasts = new Toasts(options.announce);
    this.#messages = new MessageLog(this.#messageEvents());
    this.#log = h('section', { class: 'log', 'aria-label': 'Conversation', tabindex: 0 }, this.#messages.element);
    this.#composer = new Composer(
      {
        onSend: (text) => void this.#send(text),
        onStop: () => this.#thread.stop(),
        onInput: (text) => setDraft(this.#draftKey, text),
      },
      options.footnote,
    );
    this.#panel = shelf(options.library, this.#toasts, {
      onOpen: ({ conversation, message }) => void this.#open(conversation.info.id, message),
      onNew: () => void this.newChat(),
      onClose: () => this.#side.setOpen(false),
      onDeleted: (id) => {
        if (id === this.#thread.info.id) void this.#use(this.#newThread(null));
      },
    });
    const notices = h('div', {}, this.#toasts.element);
    this.#side = new Side(this.#panel, this.#toasts.element);
    this.lead = [this.#side.toggle];
    this.tools = [iconButton('Settings of this conversation', 'sliders', () => this.#settings())];
    this.element = h(
      'div',
      { class: 'chat' },
      this.#side.element,
      h('div', { class: 'chat-main' }, ...(options.above ?? []), this.#log, notices, this.#composer.element),
    );
    this.#link = new IncomingLink((problem) => {
      if (problem) this.#toasts.show(problem, { isError: true });
      this.#render();
      if (this.#link.shared) this.#showTitle();
    });
    this.#thread = this.#newThread(openConversation());
    this.#listen();
    void this.#use(this.#thread);
  }

  #newThread(id: string | null): Thread {
    return new Thread(this.#options, id);
  }

  #listen(): void {
    const { signal } = this.#disposal;
    this.#log.addEventListener('scroll', () => (this.#atEnd = this.#follows));
    // What stands over the log comes and goes, formulas and colours come late: the end stays in sight if it was.
    const resized = new ResizeObserver(() => {
      if (this.#atEnd) this.#log.scrollTop = this.#log.scrollHeight;
    });
    resized.observe(this.#log);
    resized.observe(this.#messages.element);
    const stopListening = this.#options.library.onChange(() => this.#onLibrary());
    const stopKeys = keys.add(...this.#keys());
    document.addEventListener('visibilitychange', () => this.#thread.flush(), { signal });
    document.addEventListener(
      'keydown',
      ({ key }) => {
        // A dialog over the page takes Esc for itself.
        if (key === 'Escape' && !document.querySelector('dialog[open], .menu')) this.#thread.stop();
      },
      { signal },
    );
    signal.addEventListener('abort', () => {
      resized.disconnect();
      stopListening();
      stopKeys();
    });
  }

  #keys(): Key[] {
    const [chat, lists] = ['Chat', 'Conversations'];
    return [
      { keys: 'Enter', label: 'Send', group: chat },
      { keys: 'shift+Enter', label: 'New line', group: chat },
      { keys: 'Escape', label: 'Stop the answer', group: chat },
      { keys: '/', label: 'Go to the message box', group: chat, run: () => this.#composer.focus() },
      { keys: 'alt+r', label: 'Regenerate the last answer', group: chat, run: () => this.#regenerateLast() },
      { keys: 'mod+,', label: 'Settings', group: chat, run: () => this.#settings() },
      { keys: 'alt+n', label: 'New chat', group: lists, run: () => void this.newChat() },
      { keys: 'mod+k', label: 'Search', group: lists, run: () => this.#search() },
      {
        keys: 'mod+b',
        label: 'Show or hide the list',
        group: lists,
        run: () => this.#side.setOpen(!this.#side.isOpen),
      },
      { keys: 'F2', label: 'Rename, in the list', group: lists },
      { keys: 'Delete', label: 'Delete, in the list', group: lists },
      { keys: 'alt+z', label: 'Undo a deletion', group: lists, run: () => this.#toasts.act() },
      { keys: '?', label: 'This list', group: 'Page', run: () => openKeys(keys) },
    ];
  }

  #search(): void {
    if (!this.#side.isOpen) this.#side.setOpen(true);
    this.#panel.focusSearch();
  }

  /** A conversation that is not stored has no name yet. */
  get #draftKey(): string | null {
    return this.#thread.isStored ? this.#thread.info.id : null;
  }

  /** Once it is on the page. */
  shown(): void {
    this.#composer.fit();
    if (this.#link.shared) return this.#showTitle();
    this.#composer.focus();
    this.#log.scrollTop = this.#log.scrollHeight;
  }

  async newChat(): Promise<void> {
    this.#side.chosen();
    await this.#use(this.#newThread(null));
    this.#composer.focus();
  }

  async #open(id: string, message: string | null): Promise<void> {
    this.#side.chosen();
    const thread = this.#newThread(id);
    if (message && !thread.path.some((m) => m.id === message)) await thread.show(message);
    await this.#use(thread);
    if (message) this.#messages.view(message)?.element.scrollIntoView({ block: 'center' });
    this.#composer.focus();
  }

  /** Shows another conversation; what is being written in this one ends there. */
  async #use(thread: Thread): Promise<void> {
    const before = this.#thread;
    this.#thread = thread;
    this.#messages.forget();
    this.#composer.text = draftOf(this.#draftKey);
    this.#setBusy(false);
    this.#follow();
    setOpenConversation(this.#draftKey);
    this.#log.scrollTop = this.#log.scrollHeight;
    if (before !== thread) await before.close();
  }

  dispose(): void {
    this.#disposal.abort();
    this.#side.dispose();
    this.#panel.dispose();
    this.#link.dispose();
    void this.#thread.close();
  }

  #onLibrary(): void {
    if (this.#thread.isBusy) return;
    const wasStored = this.#messages.element.querySelector('.message') !== null;
    // Deleted in another tab.
    if (wasStored && !this.#thread.isStored) void this.#use(this.#newThread(null));
    else this.#follow();
  }

  /** Looks for answers that come from other tabs, and shows what is there. */
  #follow(): void {
    this.#render();
    const open = this.#thread.path.filter((m) => m.state === 'writing').map((m) => m.id);
    if (open.length === 0) return;
    const thread = this.#thread;
    void beingWritten(open).then((elsewhere) => {
      if (thread !== this.#thread || thread.isBusy) return;
      this.#elsewhere = elsewhere;
      this.#render();
    });
  }

  #render(): void {
    this.#panel.current = this.#draftKey;
    const { shared } = this.#link;
    const thread = this.#thread;
    this.#messages.show(
      {
        path: shared ? [] : thread.path,
        isBusy: thread.isBusy,
        placeOf: (message) => {
          const all = thread.beside(message);
          return { index: all.findIndex((m) => m.id === message.id), count: all.length };
        },
        elsewhere: this.#elsewhere,
      },
      () => (shared ? this.#sharedCard() : this.#welcome()),
    );
  }

  #welcome(): HTMLElement {
    return h(
      'div',
      { class: 'welcome' },
      h('h1', {}, 'Ask something'),
      h('div', { class: 'examples' }, ...EXAMPLES.map((text) => button(text, 'quiet', () => void this.#send(text)))),
    );
  }

  #showTitle(): void {
    this.#log.scrollTop = 0;
    this.#log.querySelector<HTMLElement>('h1[tabindex]')?.focus();
  }

  #sharedCard(): HTMLElement {
    const { shared } = this.#link;
    const take = async (): Promise<string> => {
      const thread = this.#newThread(null);
      if (shared) await thread.setInfo({ system: shared.system, settings: shared.settings });
      this.#link.done();
      await this.#use(thread);
      return shared?.prompt ?? '';
    };
    return sharedCard(shared!, {
      onAsk: () => void take().then((prompt) => this.#send(prompt)),
      onEdit: () =>
        void take().then((prompt) => {
          this.#composer.text = prompt;
          this.#composer.focus();
        }),
      onDismiss: () => {
        this.#link.done();
        this.#render();
        this.#composer.focus();
      },
    });
  }

  #settings(): void {
    const thread = this.#thread;
    const { system, settings } = thread.info;
    const defaults = this.#options.model.samplingDefaults ?? null;
    openSettings({ system, settings, defaults, onChange: (change) => void thread.setInfo(change) });
  }

  #messageEvents(): MessageEvents {
    return {
      announce: this.#options.announce,
      onEdit: (message, text) => void this.#edit(message, text),
      onRegenerate: (message) => this.#regenerate(message),
      onContinue: (message) => void this.#run(message, (thread, listener) => thread.goOn(message, listener)),
      onDelete: (message) => void this.#delete(message),
      onShare: (message) => this.#share(message),
      onStep: (message, step) => void this.#step(message, step),
    };
  }

  async #send(question: string): Promise<void> {
    const thread = this.#thread;
    if (thread.isBusy) return;
    setDraft(this.#draftKey, '');
    const asked = thread.ask(question);
    setOpenConversation(this.#draftKey);
    await this.#answer(asked, true);
  }

  async #edit(message: Message, text: string): Promise<void> {
    const thread = this.#thread;
    if (thread.isBusy) return;
    const edited = thread.edit(message, text);
    if (edited.role === 'user') await this.#answer(edited, false);
    else this.#focusTools(edited.id);
  }

  #regenerate(message: Message): void {
    if (this.#thread.isBusy) return;
    const question = message.role === 'user' ? message : this.#thread.messages.find((m) => m.id === message.parent);
    if (question) void this.#answer(question, false);
  }

  #regenerateLast(): void {
    const last = this.#thread.path.at(-1);
    if (last) this.#regenerate(last);
  }

  /** @param isNew a question that goes back into the box when it is stopped before the first word */
  async #answer(question: Message, isNew: boolean): Promise<void> {
    const outcome = await this.#run(null, (thread, listener) => thread.answer(question, listener), question);
    const { thread, result } = outcome;
    const isGone = this.#disposal.signal.aborted;
    const isUnanswered = result.kind === 'nothing' || (result.kind === 'failed' && isGone && !result.message);
    if (isNew && isUnanswered) await this.#takeBack(thread, question);
  }

  /** The question goes back into the box, or to where the box finds it. */
  async #takeBack(thread: Thread, question: Message): Promise<void> {
    const isShown = thread === this.#thread && !this.#disposal.signal.aborted;
    const removal = thread.remove(question); // from memory at once, so that a view that opens now does not show it
    const key = thread.isStored ? thread.info.id : null;
    if (isShown) {
      setOpenConversation(key);
      if (!this.#composer.text) this.#composer.text = question.content;
      this.#composer.focus();
    } else if (!draftOf(key) && (key !== null || this.#disposal.signal.aborted)) setDraft(key, question.content);
    await removal;
  }

  /**
   * Runs one answer on the page.
   * @param answer what is gone on with; null: a new one, below `question`
   */
  async #run(
    answer: Message | null,
    work: (thread: Thread, listener: Listener) => Promise<Outcome>,
    question: Message | null = null,
  ): Promise<{ thread: Thread; result: Outcome }> {
    const thread = this.#thread;
    const known = answer && this.#messages.view(answer.id);
    const view = (known as AnswerView | undefined) ?? this.#messages.pending();
    if (known) view.reopen();
    view.clearNotes();
    view.waiting('Reading your message');
    const stream = new Stream(view, (change) => this.#following(change));
    const sentences = new Sentences(this.#options.say);
    this.#options.say(null);
    const isShown = (): boolean => thread === this.#thread;
    const done = work(thread, {
      onText: (text, tokens) => {
        if (!isShown()) return;
        if (thread.writing) this.#messages.settle(thread.writing);
        stream.push(text, tokens);
        sentences.push(text);
      },
      onPrompt: (progress) =>
        view.waiting(`Reading your message: ${formatCount(progress.done)} of ${formatCount(progress.total)} tokens`),
    });
    this.#setBusy(true);
    this.#render();
    this.#log.scrollTop = this.#log.scrollHeight;
    const result = await done;
    if (!isShown()) return { thread, result };
    this.#following(() => {
      stream.flush();
      view.finish();
      sentences.finish();
      this.#conclude(result, view, question ?? answer);
    });
    if (!this.#composer.text) this.#composer.focus();
    return { thread, result };
  }

  #conclude(result: Outcome, view: AnswerView, asked: Message | null): void {
    const message = result.kind === 'nothing' ? null : result.message;
    if (message) this.#messages.settle(message.id);
    const isKept = result.kind === 'failed' && !message;
    if (!isKept) this.#messages.dropPending();
    this.#setBusy(false);
    this.#render();
    if (result.kind === 'failed') this.#showFailure(result.error, view, asked);
    else if (result.kind === 'answered') this.#showEnd(result.message, result.contextFull, view);
  }

  #showFailure(error: unknown, view: AnswerView, asked: Message | null): void {
    const newChat: Action = { label: 'New chat', run: () => void this.newChat() };
    const again: Action = {
      label: 'Try again',
      run: () => {
        view.clearNotes();
        this.#messages.dropPending();
        if (asked?.role === 'user') void this.#answer(asked, false);
        else if (asked) this.#messageEvents().onContinue(asked);
      },
    };
    if (isContextFull(error)) {
      const length = formatCount(this.#options.contextLength);
      view.note(`This message does not fit: the conversation holds ${length} tokens in all.`, [newChat], true);
      return;
    }
    const said = error instanceof WebmoeError ? error.message : 'Something went wrong while answering.';
    view.note(said, [again, newChat], true);
  }

  #showEnd(message: Message, contextFull: boolean, view: AnswerView): void {
    const newChat: Action = { label: 'New chat', run: () => void this.newChat() };
    if (!message.content) this.#options.announce('The answer is empty.');
    if (contextFull) view.note('The conversation fills the model’s context. Start a new chat to go on.', [newChat]);
    else if (message.state === 'cut') {
      const most = this.#thread.info.settings.maxTokens ?? MAX_ANSWER_TOKENS;
      view.note(`The answer was cut at ${formatCount(most)} tokens.`, []);
    }
  }

  async #delete(message: Message): Promise<void> {
    const thread = this.#thread;
    if (thread.isBusy) return;
    const putBack = await thread.remove(message);
    const undo: Action = {
      label: 'Undo',
      run: () =>
        void putBack().then(() => {
          if (thread === this.#thread) this.#render();
        }),
    };
    this.#render();
    this.#composer.focus();
    this.#toasts.show('The message is deleted, with what followed it.', { action: undo });
  }

  async #step(message: Message, step: -1 | 1): Promise<void> {
    const all = this.#thread.beside(message);
    const next = all[all.findIndex((m) => m.id === message.id) + step];
    if (!next || this.#thread.isBusy) return;
    await this.#thread.show(next.id);
    this.#render();
    this.#messages.view(next.id)?.focusSwitch(step);
  }

  #focusTools(id: string): void {
    this.#render();
    this.#messages.view(id)?.focusSwitch(-1);
  }

  #share(message: Message): void {
    const { info, messages } = this.#thread;
    const question = message.role === 'user' ? message : messages.find((m) => m.id === message.parent);
    if (!question) return;
    const { system, settings } = info;
    const seed = message.figures?.seed;
    const shared = { prompt: question.content, system, settings: { ...settings, ...(seed !== undefined && { seed }) } };
    openShare(shared, question.parent === null);
  }

  #setBusy(busy: boolean): void {
    this.#log.setAttribute('aria-busy', String(busy));
    this.#composer.setBusy(busy);
    if (!busy) this.#elsewhere = new Set();
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
