/** Walks over the tree of a conversation's messages. */
import type { Message } from './types.ts';

type Messages = readonly Message[];

/** Oldest first; a parent is always older than its children. */
export const byAge = (a: Message, b: Message): number => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1);

/** From the first message to `leaf`. A parent that is missing, or a loop, ends the walk. */
export function pathTo(messages: Messages, leaf: string | null): Message[] {
  const byId = new Map(messages.map((m) => [m.id, m]));
  const path: Message[] = [];
  for (
    let at = leaf === null ? undefined : byId.get(leaf);
    at;
    at = at.parent === null ? undefined : byId.get(at.parent)
  ) {
    byId.delete(at.id);
    path.unshift(at);
  }
  return path;
}

/** The messages that stand at the same place, oldest first, itself among them. */
export const siblings = (messages: Messages, { parent, role }: Pick<Message, 'parent' | 'role'>): Message[] =>
  messages.filter((m) => m.parent === parent && m.role === role).sort(byAge);

/** The end of the branch through `id` that was made last. */
export function latestLeaf(messages: Messages, id: string): string {
  const children = new Map<string | null, Message>();
  for (const m of [...messages].sort(byAge)) children.set(m.parent, m);
  const seen = new Set<string>();
  let at = id;
  for (let next = children.get(at); next && !seen.has(next.id); next = children.get(at)) {
    seen.add(next.id);
    at = next.id;
  }
  return at;
}

/** `id` and everything below it. */
export function branchFrom(messages: Messages, id: string): Set<string> {
  const branch = new Set([id]);
  for (let size = 0; size < branch.size;) {
    size = branch.size;
    for (const m of messages) if (m.parent !== null && branch.has(m.parent)) branch.add(m.id);
  }
  return branch;
}

/** What to show once `removed` is gone: a neighbour's branch, or what it answered. */
export function headWithout(messages: Messages, removed: Message): string | null {
  const rest = siblings(messages, removed);
  const at = rest.findIndex((m) => m.id === removed.id);
  const neighbour = rest[at - 1] ?? rest[at + 1];
  return neighbour ? latestLeaf(messages, neighbour.id) : removed.parent;
}
