/** The conversation that is open: asks the model along the branch that is shown, and makes branches. No page in here. */
import type { GenerateSummary } from '../../src/index.ts';
import { Meter } from '../answers/meter.ts';
import type { Answerer, Turn } from '../engine.ts';
import { MAX_ANSWER_TOKENS } from '../settings/fields.ts';
import type { Library } from './library.ts';
import { headWithout, latestLeaf, pathTo, siblings } from './tree.ts';
import { newId, titleOf, type Conversation, type ConversationInfo, type Message, type MessageState } from './types.ts';
import { Writer } from './writer.ts';

export interface Listener {
  readonly onText: (text: string, tokens: number) => void;
  readonly onPrompt: (progress: { readonly done: number; readonly total: number }) => void;
}

/** `nothing`: stopped before the first word. */
export type Outcome =
  | { readonly kind: 'answered'; readonly message: Message; readonly contextFull: boolean }
  | { readonly kind: 'failed'; readonly error: unknown; readonly message: Message | null }
  | { readonly kind: 'nothing' };

export interface ThreadParts {
  readonly library: Library;
  readonly model: Answerer;
  readonly modelName: string;
  /** Tells other tabs that a message is being written; the result ends it. */
  readonly hold?: (message: string) => () => void;
}

type Draft = Pick<Message, 'parent' | 'role' | 'content' | 'state'>;

const STATES: Readonly<Record<GenerateSummary['finishReason'], MessageState>> = {
  stop: 'complete',
  length: 'cut',
  abort: 'stopped',
};

const emptyInfo = (model: string): ConversationInfo => {
  const now = Date.now();
  return { id: newId(), title: '', model, system: '', settings: {}, createdAt: now, updatedAt: now, head: null };
};

export class Thread {
  readonly #parts: ThreadParts;
  /** Until its first message is stored. */
  #draft: ConversationInfo;
  /** What this tab shows; another tab may show another branch. */
  #head: string | null = null;
  #running: { readonly abort: AbortController; readonly done: Promise<unknown>; readonly writer: Writer } | undefined;

  /** @param id of the library; null: a new one */
  constructor(parts: ThreadParts, id: string | null = null) {
    this.#parts = parts;
    this.#draft = (id === null ? null : parts.library.get(id)?.info) ?? emptyInfo(parts.modelName);
    this.#head = this.#draft.head;
  }

  get #stored(): Conversation | null {
    return this.#parts.library.get(this.#draft.id);
  }

  get info(): ConversationInfo {
    return this.#stored?.info ?? this.#draft;
  }

  get messages(): readonly Message[] {
    return this.#stored?.messages ?? [];
  }

  /** The branch that is shown, from the first message on. */
  get path(): Message[] {
    const { messages, info } = this;
    const isThere = messages.some((m) => m.id === this.#head);
    return pathTo(messages, isThere || this.#head === null ? this.#head : info.head);
  }

  get isStored(): boolean {
    return this.#stored !== null;
  }

  get isBusy(): boolean {
    return this.#running !== undefined;
  }

  /** The message that is being written here, once it has begun. */
  get writing(): string | null {
    const writer = this.#running?.writer;
    return writer?.hasBegun ? writer.id : null;
  }

  async setInfo(patch: Partial<Pick<ConversationInfo, 'title' | 'system' | 'settings'>>): Promise<void> {
    this.#draft = { ...this.#draft, ...patch };
    await this.#parts.library.setInfo(this.#draft.id, patch);
  }

  /** Asks after the last answer; a question that stands there unanswered becomes another branch. */
  ask(question: string): Message {
    const last = this.path.at(-1);
    const parent = last?.role === 'user' ? last.parent : (last?.id ?? null);
    if (!this.info.title) this.#draft = { ...this.info, title: titleOf(question) };
    return this.#add({ parent, role: 'user', content: question, state: 'complete' });
  }

  /** Makes a branch beside a message, with other text. */
  edit(message: Message, content: string): Message {
    const state = message.role === 'user' ? 'complete' : 'edited';
    return this.#add({ parent: message.parent, role: message.role, content, state });
  }

  /** It is there at once; the answer need not wait until it is stored. */
  #add(draft: Draft): Message {
    const message = this.#new(draft);
    const { info } = this;
    this.#head = message.id;
    const patch = { head: message.id, title: info.title, updatedAt: Date.now() };
    void this.#parts.library.putMessage(info, message, patch); // a new message has no other revision
    return this.messages.find((m) => m.id === message.id) ?? message;
  }

  /** Later than what it follows, and than what stands beside it. */
  #new(draft: Draft): Message {
    const before = this.messages.filter((m) => m.id === draft.parent || m.parent === draft.parent);
    const createdAt = Math.max(Date.now(), ...before.map((m) => m.createdAt + 1));
    return { ...draft, id: newId(), createdAt, figures: null, revision: 0 };
  }

  /** Answers a question; a question that has answers gets another one. */
  async answer(question: Message, listener: Listener): Promise<Outcome> {
    const shown = this.#head;
    this.#head = question.id;
    const answer = this.#new({ parent: question.id, role: 'assistant', content: '', state: 'writing' });
    const outcome = await this.#write(pathTo(this.messages, question.id), answer, listener);
    if (this.#head === question.id) this.#head = shown; // nothing came of it
    return outcome;
  }

  /** Goes on with an answer from its last word. */
  goOn(answer: Message, listener: Listener): Promise<Outcome> {
    return this.#write(pathTo(this.messages, answer.id), answer, listener);
  }

  async #write(path: readonly Message[], answer: Message, listener: Listener): Promise<Outcome> {
    const abort = new AbortController();
    const { library, hold } = this.#parts;
    const writer = new Writer(library, this.info, answer);
    const releases = [library.hold(this.info.id), hold?.(answer.id)];
    const done = this.#generate(path, writer, answer, abort.signal, listener);
    this.#running = { abort, done, writer };
    try {
      return await done;
    } finally {
      for (const release of releases) release?.();
      this.#running = undefined;
    }
  }

  async #generate(
    path: readonly Message[],
    writer: Writer,
    answer: Message,
    signal: AbortSignal,
    listener: Listener,
  ): Promise<Outcome> {
    const { model, modelName } = this.#parts;
    const meter = new Meter(model);
    try {
      const stream = this.#request(path, answer, signal, listener);
      for (let tokens = 1; ; tokens++) {
        const { value, done } = await stream.next();
        if (!done) {
          writer.push(value.text);
          if (writer.hasBegun) this.#head = writer.id;
          listener.onText(value.text, tokens);
          continue;
        }
        if (value.finishReason === 'abort' && !writer.hasBegun) return { kind: 'nothing' };
        const isCounted = !('counts' in value);
        const figures = isCounted ? meter.finish(value, modelName, answer.figures) : null;
        const message = await writer.finish({ state: STATES[value.finishReason], figures });
        this.#head = message.id;
        const isFull = isCounted && value.promptTokens + value.generatedTokens >= model.plan.contextLength;
        return { kind: 'answered', message, contextFull: value.finishReason === 'length' && isFull };
      }
    } catch (error) {
      const message = writer.hasBegun ? await writer.finish({ state: 'stopped', figures: answer.figures }) : null;
      if (message) this.#head = message.id;
      return { kind: 'failed', error, message };
    } finally {
      meter.stop();
    }
  }

  #request(
    path: readonly Message[],
    answer: Message,
    signal: AbortSignal,
    listener: Listener,
  ): ReturnType<Answerer['generate']> {
    const { system, settings } = this.info;
    const prompt: Turn[] = [
      ...(system.trim() ? [{ role: 'system' as const, content: system }] : []),
      ...path.map(({ role, content }) => ({ role, content })),
    ];
    return this.#parts.model.generate(prompt, {
      maxTokens: MAX_ANSWER_TOKENS,
      ...settings,
      ...(path.at(-1)?.id === answer.id && { continueFinal: true }),
      signal,
      onPrompt: listener.onPrompt,
    });
  }

  /** The messages at the place of this one, oldest first. */
  beside(message: Message): Message[] {
    return siblings(this.messages, message);
  }

  /** Shows the branch through a message, to its newest end. */
  async show(message: string): Promise<void> {
    this.#head = latestLeaf(this.messages, message);
    await this.#parts.library.setInfo(this.#draft.id, { head: this.#head });
  }

  /**
   * Removes a message with its branch; the conversation goes with its last message.
   * @returns puts it back
   */
  async remove(message: Message): Promise<() => Promise<void>> {
    const { library } = this.#parts;
    const before = this.#stored;
    this.#head = headWithout(this.messages, message);
    this.#draft = { ...this.info, head: this.#head };
    const isLast = before?.messages.every((m) => m.id === message.id || this.#isBelow(message, m));
    if (isLast) await library.remove(this.#draft.id);
    else await library.removeBranch(this.#draft.id, message.id, { head: this.#head });
    return async () => {
      if (!before) return;
      const now = library.get(before.info.id)?.messages ?? [];
      const kept = now.filter((m) => before.messages.every((old) => old.id !== m.id));
      await library.add({ info: before.info, messages: [...before.messages, ...kept] });
      this.#head = before.info.head;
    };
  }

  #isBelow(top: Message, message: Message): boolean {
    return pathTo(this.messages, message.id).some((m) => m.id === top.id);
  }

  /** Saves what is there of an answer that comes: before the page may go away. */
  flush(): void {
    void this.#running?.writer.flush();
  }

  stop(): void {
    this.#running?.abort.abort();
  }

  /** Stops, and waits until what was written is stored. */
  async close(): Promise<void> {
    this.stop();
    await this.#running?.done;
  }
}
