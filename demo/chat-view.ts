/** The chat on the page: the list of conversations, the open one with its stream, what went wrong, and the composer. */
import { Answering } from './answering.ts';
import { BranchActions } from './branch-actions.ts';
import { chatKeys } from './chat-keys.ts';
import { Composer } from './composer.ts';
import { beingWritten } from './conversations/locks.ts';
import { shelf } from './conversations/shelf.ts';
import { Side } from './conversations/side.ts';
import { Thread, type ThreadParts } from './conversations/thread.ts';
import type { ConversationPanel } from './conversations/panel.ts';
import type { Message } from './conversations/types.ts';
import { h, iconButton } from './dom.ts';
import { draftOf, openConversation, setDraft, setOpenConversation } from './drafts.ts';
import { keys } from './keys.ts';
import { MessageLog } from './message-log.ts';
import type { MessageEvents } from './message-view.ts';
import { ScrollingLog } from './scrolling-log.ts';
import { openSettings } from './settings/dialog.ts';
import { sharedCard } from './share/card.ts';
import { IncomingLink } from './share/incoming.ts';
import { Toasts } from './toasts.ts';
import { welcome } from './welcome.ts';

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
  /** Stands beside the conversation. */
  readonly beside?: readonly HTMLElement[];
}

export class ChatView {
  readonly element: HTMLElement;
  /** For the header. */
  readonly lead: readonly HTMLElement[];
  readonly tools: readonly HTMLElement[];
  readonly #options: ChatViewOptions;
  readonly #log: ScrollingLog;
  readonly #answering: Answering;
  readonly #branches: BranchActions;
  readonly #messages: MessageLog;
  readonly #composer: Composer;
  readonly #toasts: Toasts;
  readonly #panel: ConversationPanel;
  readonly #side: Side;
  readonly #link: IncomingLink;
  readonly #disposal = new AbortController();
  #thread: Thread;
  #elsewhere: ReadonlySet<string> = new Set();

  constructor(options: ChatViewOptions) {
    this.#options = options;
    this.#toasts = new Toasts(options.announce);
    this.#messages = new MessageLog(this.#messageEvents());
    this.#log = new ScrollingLog(this.#messages.element);
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
      h('div', { class: 'chat-main' }, ...(options.above ?? []), this.#log.element, notices, this.#composer.element),
      ...(options.beside ?? []),
    );
    this.#link = new IncomingLink((problem) => {
      if (problem) this.#toasts.show(problem, { isError: true });
      this.#render();
      if (this.#link.shared) this.#log.toTitle();
    });
    this.#answering = this.#newAnswering();
    this.#branches = new BranchActions({
      messages: this.#messages,
      toasts: this.#toasts,
      thread: () => this.#thread,
      render: () => this.#render(),
      focusBox: () => this.#composer.focus(),
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
      this.#log.dispose();
      stopListening();
      stopKeys();
    });
  }

  #newAnswering(): Answering {
    const { contextLength, announce, say } = this.#options;
    return new Answering({
      messages: this.#messages,
      log: this.#log,
      contextLength,
      announce,
      say,
      thread: () => this.#thread,
      onBusy: (busy) => this.#setBusy(busy),
      render: () => this.#render(),
      onEnd: () => {
        if (!this.#composer.text) this.#composer.focus();
      },
      onAgain: (asked) => {
        if (asked.role === 'user') void this.#answer(asked, false);
        else void this.#answering.goOn(asked);
      },
      onRegenerate: (answer) => this.#regenerate(answer),
      onNewChat: () => void this.newChat(),
    });
  }

  #keys(): ReturnType<typeof chatKeys> {
    return chatKeys({
      focusBox: () => this.#composer.focus(),
      regenerate: () => this.#regenerateLast(),
      settings: () => this.#settings(),
      newChat: () => void this.newChat(),
      search: () => this.#search(),
      toggleList: () => this.#side.setOpen(!this.#side.isOpen),
      undo: () => this.#toasts.act(),
    });
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
    if (this.#link.shared) return this.#log.toTitle();
    this.#composer.focus();
    this.#log.toEnd();
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
    this.#log.toEnd();
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
      () => (shared ? this.#sharedCard() : welcome((text) => void this.#send(text))),
    );
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
      onContinue: (message) => void this.#answering.goOn(message),
      changes: {
        onEdit: (message, text) => void this.#edit(message, text),
        onRegenerate: (message) => this.#regenerate(message),
        onDelete: (message) => void this.#branches.delete(message),
        onShare: (message) => this.#branches.share(message),
        onStep: (message, step) => void this.#branches.step(message, step),
      },
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
    else this.#branches.focusSwitch(edited.id, -1);
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
    const { thread, result } = await this.#answering.answer(question);
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

  #setBusy(busy: boolean): void {
    this.#log.isBusy = busy;
    this.#composer.setBusy(busy);
    if (!busy) this.#elsewhere = new Set();
  }
}
