/** Conversations in IndexedDB. Every change is one transaction that reads before it writes, so that two tabs lose nothing. */
import { openDB, type DBSchema, type IDBPDatabase, type IDBPTransaction } from 'idb';
import { branchFrom, byAge } from './tree.ts';
import type { Conversation, ConversationInfo, Message } from './types.ts';

const NAME = 'webmoe-conversations';
/** Raise it with a step in `upgrade`; what is stored is never read by an older page. */
const VERSION = 1;

type StoredMessage = Message & { readonly conversation: string };

interface Schema extends DBSchema {
  conversations: { key: string; value: ConversationInfo };
  messages: { key: string; value: StoredMessage; indexes: { conversation: string } };
}

type Writing = IDBPTransaction<Schema, ['conversations', 'messages'], 'readwrite'>;

const plain = ({ id, parent, role, content, createdAt, state, figures, revision }: StoredMessage): Message => ({
  id,
  parent,
  role,
  content,
  createdAt,
  state,
  figures,
  revision,
});

function upgrade(db: IDBPDatabase<Schema>, from: number): void {
  if (from < 1) {
    db.createObjectStore('conversations', { keyPath: 'id' });
    db.createObjectStore('messages', { keyPath: 'id' }).createIndex('conversation', 'conversation');
  }
}

export class Disk {
  readonly #db: IDBPDatabase<Schema>;

  private constructor(db: IDBPDatabase<Schema>) {
    this.#db = db;
  }

  /** @throws DOMException where the browser forbids it, as in some private windows */
  static async open(): Promise<Disk> {
    const db = await openDB<Schema>(NAME, VERSION, {
      upgrade,
      // A newer page in another tab: it must not wait for this one.
      blocking: (_current, _blocked, event) => (event.target as IDBDatabase).close(),
    });
    return new Disk(db);
  }

  async readAll(): Promise<Conversation[]> {
    const tx = this.#db.transaction(['conversations', 'messages']);
    const [infos, messages] = await Promise.all([
      tx.objectStore('conversations').getAll(),
      tx.objectStore('messages').getAll(),
    ]);
    const of = new Map(infos.map((info) => [info.id, [] as Message[]]));
    for (const m of messages.sort(byAge)) of.get(m.conversation)?.push(plain(m));
    return infos.map((info) => ({ info, messages: of.get(info.id)! }));
  }

  async read(id: string): Promise<Conversation | null> {
    const tx = this.#db.transaction(['conversations', 'messages']);
    const [info, messages] = await Promise.all([
      tx.objectStore('conversations').get(id),
      tx.objectStore('messages').index('conversation').getAll(id),
    ]);
    return info ? { info, messages: messages.sort(byAge).map(plain) } : null;
  }

  /** Adds it, or puts back what is missing of it. */
  put({ info, messages }: Conversation): Promise<void> {
    return this.#write(async (tx) => {
      await tx.objectStore('conversations').put(info);
      for (const m of messages) await tx.objectStore('messages').put({ ...m, conversation: info.id });
    });
  }

  /** Changes some fields, unless another tab has deleted the conversation. */
  patchInfo(id: string, patch: Partial<ConversationInfo>): Promise<void> {
    return this.#write(async (tx) => {
      const store = tx.objectStore('conversations');
      const stored = await store.get(id);
      if (stored) await store.put({ ...stored, ...patch });
    });
  }

  /**
   * Writes the last message of `path`; whatever stands before it and is missing is put back.
   * @returns false when another tab has written a later revision: nothing is changed then
   */
  async putMessage(
    info: ConversationInfo,
    path: readonly Message[],
    patch: Partial<ConversationInfo>,
  ): Promise<boolean> {
    const message = path.at(-1)!;
    let isSaved = true;
    await this.#write(async (tx) => {
      const messages = tx.objectStore('messages');
      const stored = await messages.get(message.id);
      isSaved = !stored || stored.revision === message.revision - 1;
      if (!isSaved) return;
      const conversations = tx.objectStore('conversations');
      await conversations.put({ ...((await conversations.get(info.id)) ?? info), ...patch });
      for (const m of path) {
        if (m === message || !(await messages.getKey(m.id))) await messages.put({ ...m, conversation: info.id });
      }
    });
    return isSaved;
  }

  remove(id: string): Promise<void> {
    return this.#write(async (tx) => {
      await tx.objectStore('conversations').delete(id);
      const messages = tx.objectStore('messages');
      for (const key of await messages.index('conversation').getAllKeys(id)) await messages.delete(key);
    });
  }

  /** Removes a message and what stands below it now, from whatever tab it came. */
  removeBranch(conversation: string, message: string, patch: Partial<ConversationInfo>): Promise<void> {
    return this.#write(async (tx) => {
      const messages = tx.objectStore('messages');
      const all = await messages.index('conversation').getAll(conversation);
      for (const id of branchFrom(all, message)) await messages.delete(id);
      const info = await tx.objectStore('conversations').get(conversation);
      if (info) await tx.objectStore('conversations').put({ ...info, ...patch });
    });
  }

  async #write(change: (tx: Writing) => Promise<void>): Promise<void> {
    const tx = this.#db.transaction(['conversations', 'messages'], 'readwrite', { durability: 'relaxed' });
    const done = tx.done;
    try {
      await Promise.all([change(tx), done]);
    } catch (error) {
      await done.catch(() => undefined);
      throw error;
    }
  }
}
