/** One message on the page, with what can be done about it. */
import { figuresLine, figuresList } from './answers/words.ts';
import { copyText } from './clipboard.ts';
import type { Message } from './conversations/types.ts';
import { button, h } from './dom.ts';
import { formatRate, plural } from './format.ts';
import { PlainBody, type TextBody } from './plain-body.ts';
import { messageEditor } from './message-editor.ts';
import { MessageTools, type Place, type Tool } from './message-tools.ts';
import type { Action } from './problem-view.ts';
import { MessageBody } from './text/message-body.ts';

export interface MessageEvents {
  readonly onContinue: (message: Message) => void;
  readonly announce: (text: string) => void;
  /** null: a recording, in which nothing can be changed. */
  readonly changes: MessageChanges | null;
}

export interface MessageChanges {
  /** Makes a branch with this text. */
  readonly onEdit: (message: Message, text: string) => void;
  /** Asks again: another answer to the same question. */
  readonly onRegenerate: (message: Message) => void;
  readonly onDelete: (message: Message) => void;
  readonly onShare: (message: Message) => void;
  /** Shows the message beside it. */
  readonly onStep: (message: Message, step: -1 | 1) => void;
}

export interface Showing {
  readonly place: Place;
  /** The last of the conversation. */
  readonly isLast: boolean;
  /** An answer comes: nothing can be changed. */
  readonly isBusy: boolean;
  /** Another tab is writing it. */
  readonly isElsewhere: boolean;
}

const COPIED_MS = 2000;

type MakeBody = () => TextBody;

function bodyOf(make: MakeBody, text: string, isWhole: boolean): TextBody {
  const body = make();
  body.append(text);
  if (isWhole) body.finish();
  return body;
}

abstract class MessageView {
  readonly element: HTMLElement;
  protected body: TextBody;
  readonly #makeBody: MakeBody;
  protected readonly events: MessageEvents;
  protected readonly foot = h('div', { class: 'foot' });
  protected message: Message | null;
  readonly #tools: MessageTools;
  #editor: HTMLElement | null = null;

  constructor(
    message: Message | null,
    events: MessageEvents,
    kind: 'user' | 'assistant',
    name: string,
    makeBody: MakeBody,
  ) {
    this.#makeBody = makeBody;
    this.message = message;
    this.events = events;
    this.body = message ? bodyOf(makeBody, message.content, true) : makeBody();
    this.#tools = new MessageTools((step) => this.message && events.changes?.onStep(this.message, step));
    this.foot.append(this.#tools.element);
    this.element = h('article', { class: `message ${kind}`, 'aria-label': name }, this.body.element, this.foot);
  }

  /** The Markdown source. */
  get text(): string {
    return this.body.text;
  }

  show(message: Message, showing: Showing): void {
    const before = this.message;
    this.message = message;
    // Another tab has written more of it; what this tab writes is on the page already.
    if (before && !showing.isBusy && message.content !== this.text) this.replaceBody(message.content, true);
    this.element.classList.toggle('last', showing.isLast);
    const tools = this.tools(message, showing);
    this.#tools.show(
      showing.isBusy || showing.isElsewhere ? tools.filter((t) => t.label === 'Copy') : tools,
      showing.place,
    );
  }

  /** @param isWhole no more comes */
  protected replaceBody(text: string, isWhole: boolean): void {
    const body = bodyOf(this.#makeBody, text, isWhole);
    this.body.element.replaceWith(body.element);
    this.body = body;
  }

  protected abstract tools(message: Message, showing: Showing): Tool[];

  focusSwitch(step: -1 | 1): void {
    this.#tools.focusSwitch(step);
  }

  protected get copy(): Tool {
    return { label: 'Copy', image: 'copy', run: () => void this.#copy() };
  }

  protected edit(label: string, { onEdit }: MessageChanges): Tool {
    return { label: 'Edit', image: 'edit', run: () => this.#edit(label, onEdit) };
  }

  protected remove(message: Message, { onDelete }: MessageChanges): Tool {
    return { label: 'Delete', image: 'bin', run: () => onDelete(this.message ?? message) };
  }

  async #copy(): Promise<void> {
    const isCopied = await copyText(this.text);
    if (!isCopied) getSelection()?.selectAllChildren(this.body.element);
    this.events.announce(isCopied ? 'Copied.' : 'Selected: now copy it.');
    const copy = this.#tools.button('Copy');
    copy?.classList.add('done');
    setTimeout(() => copy?.classList.remove('done'), COPIED_MS);
  }

  #edit(saveLabel: string, onEdit: MessageChanges['onEdit']): void {
    const { message } = this;
    if (!message || this.#editor) return;
    const close = (): void => {
      this.#editor?.replaceWith(this.body.element);
      this.#editor = null;
      this.element.classList.remove('editing');
      this.foot.hidden = false;
    };
    this.#editor = messageEditor(message.content, saveLabel, {
      onCancel: () => {
        close();
        this.#tools.button('Edit')?.focus();
      },
      onSave: (text) => {
        close();
        if (text === message.content) this.#tools.button('Edit')?.focus();
        else onEdit(message, text);
      },
    });
    this.body.element.replaceWith(this.#editor);
    this.element.classList.add('editing');
    this.foot.hidden = true;
  }
}

export class QuestionView extends MessageView {
  constructor(message: Message, events: MessageEvents) {
    super(message, events, 'user', 'You', () => new PlainBody());
    this.element.dataset.id = message.id;
  }

  protected override tools(message: Message, { isLast }: Showing): Tool[] {
    const { changes } = this.events;
    if (!changes) return [this.copy];
    const answer: Tool = { label: 'Answer this', image: 'again', run: () => changes.onRegenerate(message) };
    const share: Tool = { label: 'Share', image: 'share', run: () => changes.onShare(message) };
    return [this.copy, this.edit('Send', changes), ...(isLast ? [answer] : []), share, this.remove(message, changes)];
  }
}

export class AnswerView extends MessageView {
  readonly #status = h('p', { class: 'status numbers' });
  readonly #figures = h('dl', { class: 'figures', hidden: true });
  readonly #go: HTMLButtonElement;
  #firstAt: number | null = null;

  readonly #isRecorded: boolean;

  /**
   * @param message null: nothing of it is known yet
   * @param origin of a recording, in words: it stands over the text; null: the answer is made now
   */
  constructor(message: Message | null, events: MessageEvents, origin: string | null = null) {
    super(message, events, 'assistant', 'Answer', () => new MessageBody());
    this.#isRecorded = origin !== null;
    if (origin !== null) this.element.prepend(h('p', { class: 'origin-label' }, origin));
    this.#go = button('Continue', 'quiet compact go-on', () => this.message && events.onContinue(this.message));
    this.#go.hidden = true;
    this.foot.prepend(this.#status);
    this.foot.after(this.#go, this.#figures);
    if (message) this.element.dataset.id = message.id;
  }

  waiting(what: string): void {
    this.element.classList.add('waiting');
    this.#go.hidden = true;
    this.#status.textContent = what;
  }

  append(text: string, tokens: number): void {
    this.element.classList.remove('waiting');
    this.body.append(text);
    const now = performance.now();
    this.#firstAt ??= now;
    const seconds = (now - this.#firstAt) / 1000;
    const rate = tokens > 1 && seconds > 0 && !this.#isRecorded ? ` · ${formatRate((tokens - 1) / seconds)}` : '';
    this.#status.textContent = plural(tokens, 'token') + rate;
  }

  /** More comes to a text that was whole. */
  reopen(): void {
    this.replaceBody(this.text, false);
  }

  /** No more comes. */
  finish(): void {
    this.#firstAt = null;
    this.element.classList.remove('waiting');
    this.body.finish();
    this.#status.textContent = '';
  }

  override show(message: Message, showing: Showing): void {
    super.show(message, showing);
    this.element.dataset.id = message.id;
    const { state, figures } = message;
    const isBusyHere = showing.isBusy && showing.isLast;
    if (showing.isElsewhere) this.#status.textContent = 'Being written in another tab';
    else if (!isBusyHere) this.#status.textContent = this.#endLine(state, figures);
    const isOpen = state === 'stopped' || state === 'cut' || state === 'writing';
    this.#go.hidden = !isOpen || !showing.isLast || showing.isBusy || showing.isElsewhere;
    this.#figures.replaceChildren(
      ...(figures ? figuresList(state, figures) : []).map(([name, value]) =>
        h('div', {}, h('dt', {}, name), h('dd', {}, value)),
      ),
    );
  }

  /** The speed of a recording is that of another computer. */
  #endLine(state: Message['state'], figures: Message['figures']): string {
    if (!this.#isRecorded) return figuresLine(state, figures);
    return [
      ...(state === 'stopped' ? ['Stopped'] : []),
      ...(figures ? [plural(figures.generatedTokens, 'token')] : []),
    ].join(' · ');
  }

  protected override tools(message: Message): Tool[] {
    const { changes } = this.events;
    if (!changes) return [this.copy];
    const figures: Tool[] = message.figures ? [{ label: 'Figures', image: 'info', run: () => this.#toggle() }] : [];
    return [
      this.copy,
      this.edit('Save as another version', changes),
      { label: 'Regenerate', image: 'again', run: () => changes.onRegenerate(message) },
      { label: 'Share', image: 'share', run: () => changes.onShare(message) },
      ...figures,
      this.remove(message, changes),
    ];
  }

  #toggle(): void {
    this.#figures.hidden = !this.#figures.hidden;
    if (!this.#figures.hidden) this.#figures.scrollIntoView({ block: 'nearest' });
  }

  /** A remark under the answer, with what to do about it. */
  note(text: string, actions: readonly Action[], isError = false): void {
    this.clearNotes();
    this.body.element.hidden = this.text === '';
    this.foot.hidden = this.message === null;
    this.element.append(
      h(
        'div',
        { class: isError ? 'note error' : 'note', role: isError ? 'alert' : 'note' },
        h('span', {}, text),
        ...actions.map(({ label, run }) => button(label, 'quiet compact', run)),
      ),
    );
  }

  clearNotes(): void {
    for (const note of this.element.querySelectorAll(':scope > .note')) note.remove();
  }
}
