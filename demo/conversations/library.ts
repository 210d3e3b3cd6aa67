/**
 * All conversations: in memory, where the page reads and searches them, and behind that on disk, where every change goes at once. Where the
 * browser stores nothing, memory is all there is.
 */
import { Disk } from './disk.ts';
import { branchFrom, byAge, pathTo } from './tree.ts';
import { newId, type Conversation, type ConversationInfo, type Message } from './types.ts';

/** `blocked`: the browser keeps nothing for this page. `full`: it did not keep the last change. */
export type StoreProblem = 'blocked' | 'full';

const CHANNEL = 'webmoe-conversations';

export class Library {
  readonly #disk: Disk | null;
  readonly #all = new Map<string, Conversation>();
  readonly #listeners = new Set<() => void>();
  readonly #channel: BroadcastChannel | null;
  /** Conversations that this tab is writing: what other tabs did to them is read afterwards. */
  readonly #held = new Map<string, { stale: boolean }>();
  #problem: StoreProblem | null;

  /** @param disk null: memory only */
  constructor(disk: Disk | null = null, stored: readonly Conversation[] = []) {
    this.#disk = disk;
    this.#problem = disk ? null : 'blocked';
    for (const conversation of stored) this.#all.set(conversation.info.id, conversation);
    this.#channel = disk ? new BroadcastChannel(CHANNEL) : null;
    this.#channel?.addEventListener('message', ({ data }) => void this.#refresh(String(data)));
  }

  static async open(): Promise<Library> {
    try {
      const disk = await Disk.open();
      return new Library(disk, await disk.readAll());
    } catch {
      return new Library(); // `problem` says so
    }
  }

  get problem(): StoreProblem | null {
    return this.#problem;
  }

  /** Latest change first. */
  get all(): Conversation[] {
    return [...this.#all.values()].sort((a, b) => b.info.updatedAt - a.info.updatedAt);
  }

  get(id: string): Conversation | null {
    return this.#all.get(id) ?? null;
  }

  /** @returns stops it */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Adds a conversation, or puts back one that was removed. It shows once it is written: whoever sees it back may close the page. */
  async add(conversation: Conversation): Promise<void> {
    const { id } = conversation.info;
    await this.#save(id, (disk) => disk.put(conversation));
    this.#all.set(id, conversation);
    await this.#reread(id); // with what other tabs have written to it meanwhile
    this.#changed();
  }

  async setInfo(id: string, patch: Partial<ConversationInfo>): Promise<void> {
    const known = this.#all.get(id);
    if (!known) return;
    this.#all.set(id, { ...known, info: { ...known.info, ...patch } });
    await this.#write(id, (disk) => disk.patchInfo(id, patch));
  }

  /**
   * Writes a message, with what changes in its conversation.
   * @returns the message as it is stored: under another id, as a branch, when another tab has changed the one it was
   */
  async putMessage(info: ConversationInfo, message: Message, patch: Partial<ConversationInfo> = {}): Promise<Message> {
    const next = { ...message, revision: message.revision + 1 };
    const path = this.#setMessage(info, next, patch);
    let isSaved = true;
    await this.#write(info.id, async (disk) => {
      isSaved = await disk.putMessage(info, path, patch);
    });
    if (isSaved) return next;
    await this.#reread(info.id);
    const branch = { ...message, id: newId(), revision: 0 };
    return this.putMessage(
      this.get(info.id)?.info ?? info,
      branch,
      patch.head === message.id ? { ...patch, head: branch.id } : patch,
    );
  }

  /** @returns the path to it */
  #setMessage(info: ConversationInfo, message: Message, patch: Partial<ConversationInfo>): Message[] {
    const known = this.#all.get(info.id) ?? { info, messages: [] };
    const messages = [...known.messages.filter((m) => m.id !== message.id), message].sort(byAge);
    this.#all.set(info.id, { info: { ...known.info, ...patch }, messages });
    return pathTo(messages, message.id);
  }

  /** @returns what was removed, for `add` */
  async remove(id: string): Promise<Conversation | null> {
    const known = this.get(id);
    this.#all.delete(id);
    await this.#write(id, (disk) => disk.remove(id));
    return known;
  }

  /** Removes a message and everything below it. */
  async removeBranch(id: string, message: string, patch: Partial<ConversationInfo>): Promise<void> {
    const known = this.#all.get(id);
    if (!known) return;
    const gone = branchFrom(known.messages, message);
    this.#all.set(id, { info: { ...known.info, ...patch }, messages: known.messages.filter((m) => !gone.has(m.id)) });
    await this.#write(id, (disk) => disk.removeBranch(id, message, patch));
  }

  /** Until it is let go, other tabs change nothing in this conversation as this tab sees it. */
  hold(id: string): () => void {
    const held = { stale: false };
    this.#held.set(id, held);
    return () => {
      if (this.#held.get(id) === held) this.#held.delete(id);
      if (held.stale) void this.#refresh(id);
    };
  }

  close(): void {
    this.#channel?.close();
    this.#listeners.clear();
  }

  async #refresh(id: string): Promise<void> {
    const held = this.#held.get(id);
    if (held) {
      held.stale = true;
      return;
    }
    await this.#reread(id);
    this.#changed();
  }

  async #reread(id: string): Promise<void> {
    const stored = await this.#disk?.read(id).catch(() => undefined);
    if (stored) this.#all.set(id, stored);
    else if (stored === null) this.#all.delete(id);
  }

  async #write(id: string, change: (disk: Disk) => Promise<void>): Promise<void> {
    this.#changed();
    await this.#save(id, change);
  }

  async #save(id: string, change: (disk: Disk) => Promise<void>): Promise<void> {
    if (!this.#disk) return;
    const before = this.#problem;
    try {
      await change(this.#disk);
      this.#problem = null;
      this.#channel?.postMessage(id);
    } catch (error) {
      this.#problem = error instanceof DOMException && error.name === 'QuotaExceededError' ? 'full' : 'blocked';
    }
    if (this.#problem !== before) this.#changed();
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
