/** What a conversation is: a tree of messages, so that an edit or another answer is a branch and nothing is overwritten. */
import type { SamplingDefault } from '../../src/index.ts';

/** `writing`: text still comes, or came until its tab went away. `stopped`, `cut`: by the visitor, at the most tokens. */
export type MessageState = 'writing' | 'complete' | 'stopped' | 'cut' | 'edited';

/** How an answer came about. */
export interface Figures {
  readonly model: string;
  readonly seed: number;
  readonly promptTokens: number;
  /** Prompt tokens that were in the cache from an earlier turn. */
  readonly cachedTokens: number;
  readonly generatedTokens: number;
  readonly timeToFirstTokenMs: number;
  /** Of the tokens after the first. */
  readonly tokensPerSecond: number | null;
  /** Of the experts that its tokens needed, those that were on the card; null where nothing was told. */
  readonly hitRate: number | null;
  /** Read into slots, a token of the answer. */
  readonly bytesPerToken: number | null;
  readonly approximations: readonly string[];
}

export interface Message {
  readonly id: string;
  /** null: the first of its conversation. */
  readonly parent: string | null;
  readonly role: 'user' | 'assistant';
  readonly content: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly state: MessageState;
  readonly figures: Figures | null;
  /** Raised by every write: a tab that knows an older one makes a branch instead. */
  readonly revision: number;
}

/** What the sampler is asked for; absent: what the checkpoint recommends. */
export type Settings = { readonly [K in keyof SamplingDefault | 'maxTokens' | 'seed']?: number };

export interface ConversationInfo {
  readonly id: string;
  readonly title: string;
  /** The model that answered last, by name. */
  readonly model: string;
  /** Empty: none. */
  readonly system: string;
  readonly settings: Settings;
  readonly createdAt: number;
  readonly updatedAt: number;
  /** The last message of the branch that is shown; null: none. */
  readonly head: string | null;
}

export interface Conversation {
  readonly info: ConversationInfo;
  readonly messages: readonly Message[];
}

export const newId = (): string => crypto.randomUUID();

const TITLE_LENGTH = 60;

/** The first line of the question, cut at a word. */
export function titleOf(question: string): string {
  const line = question.trim().split(/\s*\n/, 1)[0]!.replace(/\s+/g, ' ');
  if (line.length <= TITLE_LENGTH) return line || 'Untitled';
  const cut = line.slice(0, TITLE_LENGTH);
  return `${cut.slice(0, cut.lastIndexOf(' ') > 20 ? cut.lastIndexOf(' ') : undefined).replace(/[\ud800-\udbff]$/, '')}…`;
}
