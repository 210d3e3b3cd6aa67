/** Finds words in titles and messages, and where they stand. Letters match whatever their case and marks: "Élan" is found by "elan". */
import type { Conversation, Message } from './types.ts';

/** Characters [start, end) of the text. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

export interface Found {
  readonly conversation: Conversation;
  readonly inTitle: readonly Range[];
  /** The message with the most telling match; null: only the title has one. */
  readonly message: string | null;
  /** A piece of that message, and where the words are in it. */
  readonly snippet: string;
  readonly inSnippet: readonly Range[];
}

interface Folded {
  readonly text: string;
  /** Where each character came from, and where the last one ends. */
  readonly from: readonly number[];
}

/** Lower case, no marks; the Greek sigma has one form, wherever it stands. */
export const foldText = (text: string): string =>
  text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase().replaceAll('ς', 'σ');

/** The same character by character, to find the way back: slower by an order of magnitude. */
export function fold(text: string): Folded {
  let out = '';
  const from: number[] = [];
  let at = 0;
  for (const character of text) {
    const folded = foldText(character);
    for (let i = 0; i < folded.length; i++) from.push(at);
    out += folded;
    at += character.length;
  }
  return { text: out, from: [...from, at] };
}

/** Of messages that were searched before: every letter of a query searches all of them. */
const known = new WeakMap<Message, string>();

function foldedText(message: Message): string {
  const text = known.get(message) ?? foldText(message.content);
  known.set(message, text);
  return text;
}

export const wordsOf = (query: string): string[] => [...new Set(foldText(query).split(/\s+/).filter(Boolean))];

/** Every place of every word, in order, without overlaps. */
export function rangesOf(text: string, words: readonly string[]): Range[] {
  const folded = fold(text);
  const all: Range[] = [];
  for (const word of words) {
    for (let at = folded.text.indexOf(word); at >= 0; at = folded.text.indexOf(word, at + word.length))
      all.push({ start: folded.from[at]!, end: folded.from[at + word.length]! });
  }
  all.sort((a, b) => a.start - b.start || b.end - a.end);
  const out: Range[] = [];
  for (const range of all) if (range.start >= (out.at(-1)?.end ?? 0) && range.end > range.start) out.push(range);
  return out;
}

const BEFORE = 24;
const LENGTH = 120;
/** Only this much of a long message is folded by character; the overlap is longer than words are. */
const WINDOW = 512;
const OVERLAP = 64;

/** About where the first match is. */
function windowOf(line: string, words: readonly string[]): number {
  for (let start = 0; start < line.length; start += WINDOW) {
    const folded = foldText(line.slice(start, start + WINDOW + OVERLAP));
    if (words.some((word) => folded.includes(word))) return start;
  }
  return 0;
}

/** The text around the first match, on one line. */
function snippetOf(content: string, words: readonly string[]): string {
  const line = content.replace(/\s+/g, ' ');
  const start = windowOf(line, words);
  const first = start + (rangesOf(line.slice(start, start + WINDOW + OVERLAP), words)[0]?.start ?? 0);
  const from = first <= BEFORE ? 0 : Math.min(first, line.indexOf(' ', first - BEFORE) + 1 || first);
  return `${from > 0 ? '…' : ''}${line.slice(from, from + LENGTH)}${from + LENGTH < line.length ? '…' : ''}`;
}

/** @returns null unless every word is in the title or in some message */
function find(conversation: Conversation, words: readonly string[]): Found | null {
  const { info, messages } = conversation;
  const title = foldText(info.title);
  const missing = new Set(words.filter((word) => !title.includes(word)));
  let best: { id: string; content: string; count: number } | null = null;
  for (const message of messages) {
    const { id, content } = message;
    const folded = foldedText(message);
    const here = words.filter((word) => folded.includes(word));
    for (const word of here) missing.delete(word);
    if (here.length > (best?.count ?? 0)) best = { id, content, count: here.length };
  }
  if (missing.size > 0) return null;
  const snippet = best ? snippetOf(best.content, words) : '';
  return {
    conversation,
    inTitle: rangesOf(info.title, words),
    message: best?.id ?? null,
    snippet,
    inSnippet: rangesOf(snippet, words),
  };
}

/** @returns all of them, nothing marked, for a query without words */
export function search(conversations: readonly Conversation[], query: string): Found[] {
  const words = wordsOf(query);
  if (words.length === 0)
    return conversations.map((conversation) => ({
      conversation,
      inTitle: [],
      message: null,
      snippet: '',
      inSnippet: [],
    }));
  return conversations.flatMap((conversation) => find(conversation, words) ?? []);
}
