/** Writes an answer into the library while it comes: at once when it begins, then once a second, then at its end. */
import type { Library } from './library.ts';
import type { ConversationInfo, Message } from './types.ts';

const SAVE_MS = 1000;

export class Writer {
  readonly #library: Library;
  readonly #info: ConversationInfo;
  /** As it was saved last. */
  #saved: Message;
  #content: string;
  #saving: Promise<void> = Promise.resolve();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #hasBegun = false;

  constructor(library: Library, info: ConversationInfo, message: Message) {
    this.#library = library;
    this.#info = info;
    this.#saved = message;
    this.#content = message.content;
  }

  /** Its id changes when another tab has changed the message. */
  get id(): string {
    return this.#saved.id;
  }

  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  push(text: string): void {
    if (!text) return;
    this.#content += text;
    if (!this.#hasBegun) {
      this.#hasBegun = true;
      void this.flush();
    } else this.#timer ??= setTimeout(() => void this.flush(), SAVE_MS);
  }

  /** Saves what there is. */
  flush(change: Partial<Message> = { state: 'writing' }): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!this.#hasBegun) return Promise.resolve();
    this.#saving = this.#saving.then(async () => {
      const message = { ...this.#saved, content: this.#content, ...change };
      const patch = {
        head: message.id,
        updatedAt: Date.now(),
        ...(message.figures && { model: message.figures.model }),
      };
      this.#saved = await this.#library.putMessage(this.#info, message, patch);
    });
    return this.#saving;
  }

  async finish(change: Pick<Message, 'state' | 'figures'>): Promise<Message> {
    this.#hasBegun = true;
    await this.flush(change);
    return this.#saved;
  }
}
