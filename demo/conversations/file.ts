/** Conversations as a file: JSON that reads back exactly, in a schema with a version. */
import { readSettings } from '../settings/fields.ts';
import { ReadError, Reader } from './read.ts';
import { newId, type Conversation, type ConversationInfo, type Figures, type Message } from './types.ts';

const FORMAT = 'webmoe-conversations';
const VERSION = 1;

const INFO_KEYS = ['id', 'title', 'model', 'system', 'settings', 'createdAt', 'updatedAt', 'head', 'messages'];
const MESSAGE_KEYS = ['id', 'parent', 'role', 'content', 'createdAt', 'state', 'figures', 'revision'];
const FIGURE_KEYS = [
  'model',
  'seed',
  'promptTokens',
  'cachedTokens',
  'generatedTokens',
  'timeToFirstTokenMs',
  'tokensPerSecond',
  'hitRate',
  'bytesPerToken',
  'approximations',
];

const iso = (ms: number): string => new Date(ms).toISOString();

export function toJson(conversations: readonly Conversation[]): string {
  const file = {
    format: FORMAT,
    version: VERSION,
    conversations: conversations.map(({ info, messages }) => ({
      ...info,
      createdAt: iso(info.createdAt),
      updatedAt: iso(info.updatedAt),
      messages: messages.map((m) => ({ ...m, createdAt: iso(m.createdAt) })),
    })),
  };
  return JSON.stringify(file, null, 2);
}

function readFigures(reader: Reader): Figures {
  const at = reader.object(...FIGURE_KEYS);
  return {
    model: at('model').string(),
    seed: at('seed').count(),
    promptTokens: at('promptTokens').count(),
    cachedTokens: at('cachedTokens').count(),
    generatedTokens: at('generatedTokens').count(),
    timeToFirstTokenMs: at('timeToFirstTokenMs').number(),
    tokensPerSecond: at('tokensPerSecond').orNull((r) => r.number()),
    hitRate: at('hitRate').orNull((r) => r.number()),
    bytesPerToken: at('bytesPerToken').orNull((r) => r.number()),
    approximations: at('approximations')
      .array()
      .map((r) => r.string()),
  };
}

function readMessage(reader: Reader): Message {
  const at = reader.object(...MESSAGE_KEYS);
  return {
    id: at('id').string(),
    parent: at('parent').orNull((r) => r.string()),
    role: at('role').oneOf('user', 'assistant'),
    content: at('content').string(),
    createdAt: at('createdAt').time(),
    state: at('state').oneOf('writing', 'complete', 'stopped', 'cut', 'edited'),
    figures: at('figures').orNull(readFigures),
    revision: at('revision').count(),
  };
}

/** Parents come before children, in the list and in time, so there is no loop; no id stands twice. */
function checkTree(messages: readonly Message[], head: string | null, reader: Reader): void {
  const seen = new Map<string, Message>();
  messages.forEach((message, i) => {
    const place = `${reader.place}.messages[${i}]`;
    if (seen.has(message.id)) throw new ReadError(`${place}.id`, 'an id of its own');
    const parent = message.parent === null ? null : seen.get(message.parent);
    if (parent === undefined) throw new ReadError(`${place}.parent`, 'null or the id of a message before it');
    if (parent && parent.createdAt >= message.createdAt)
      throw new ReadError(`${place}.createdAt`, 'later than that of the message before it');
    seen.set(message.id, message);
  });
  if (head !== null && !seen.has(head)) throw new ReadError(`${reader.place}.head`, 'null or the id of a message');
}

function readConversation(reader: Reader): Conversation {
  const at = reader.object(...INFO_KEYS);
  const info: ConversationInfo = {
    id: at('id').string(),
    title: at('title').string(),
    model: at('model').string(),
    system: at('system').string(),
    settings: readSettings(at('settings')),
    createdAt: at('createdAt').time(),
    updatedAt: at('updatedAt').time(),
    head: at('head').orNull((r) => r.string()),
  };
  const messages = at('messages').array().map(readMessage);
  checkTree(messages, info.head, reader);
  return { info, messages };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ReadError('The file', 'JSON, as "Export" writes it');
  }
}

/**
 * @returns the conversations with the ids of the file
 * @throws ReadError naming the place and what belongs there
 */
export function fromJson(text: string): Conversation[] {
  const file = new Reader(parsed(text), 'The file');
  const { value } = file;
  if (typeof value !== 'object' || value === null || !('format' in value) || value.format !== FORMAT)
    throw new ReadError('The file', `one that webmoe exported ("format": "${FORMAT}")`);
  const at = file.object('format', 'version', 'conversations');
  const version = at('version').count();
  if (version !== VERSION)
    throw new ReadError('version', `${VERSION}, found ${version}: a newer webmoe wrote this file; reload the page`);
  return new Reader(at('conversations').value, 'conversations').array().map(readConversation);
}

/** The same conversation under ids that nothing else has: an import never replaces anything. */
export function withNewIds({ info, messages }: Conversation): Conversation {
  const ids = new Map(messages.map((m) => [m.id, newId()]));
  const renamed = (id: string | null): string | null => (id === null ? null : (ids.get(id) ?? null));
  return {
    info: { ...info, id: newId(), head: renamed(info.head) },
    messages: messages.map((m) => ({ ...m, id: ids.get(m.id)!, parent: renamed(m.parent) })),
  };
}
