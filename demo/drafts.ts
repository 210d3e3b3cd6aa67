/** What is half written, and which conversation is open: a tab's own, and kept through a reload. */

const DRAFT = 'webmoe-draft:';
const OPEN = 'webmoe-open';

/** Where storage is forbidden it lasts as long as the page. */
const memory = new Map<string, string>();

function get(key: string): string | null {
  try {
    return sessionStorage.getItem(key);
  } catch {
    return memory.get(key) ?? null;
  }
}

function set(key: string, value: string | null): void {
  try {
    if (value === null) sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, value);
  } catch {
    if (value === null) memory.delete(key);
    else memory.set(key, value);
  }
}

/** @param conversation null: one that is not stored yet */
export const draftOf = (conversation: string | null): string => get(DRAFT + (conversation ?? '')) ?? '';

export const setDraft = (conversation: string | null, text: string): void =>
  set(DRAFT + (conversation ?? ''), text || null);

export const openConversation = (): string | null => get(OPEN);

export const setOpenConversation = (id: string | null): void => set(OPEN, id);
