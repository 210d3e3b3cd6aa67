/** Finds words in titles and messages, and where they stand. Letters match whatever their case and marks: "Élan" is found by "elan". */
import type { Conversation } from './types.ts';

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

export function fold(text: string): Folded {
  let out = '';
  const from: number[] = [];
  let at = 0;
  for (const character of text) {
    const folded = character.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();
    for (let i = 0; i < folded.length; i++) from.push(at);
    out += folded;
    at += character.length;
  }
  return { text: out, from: [...from, at] };
}

export const wordsOf = (query: string): string[] => [...new Set(fold(query).text.split(/\s+/).filter(Boolean))];

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

/** The text around the first match, on one line. */
function snippetOf(content: string, words: readonly string[]): string {
  const line = content.replace(/\s+/g, ' ');
  const first = rangesOf(line, words)[0]?.start ?? 0;
  const start = first <= BEFORE ? 0 : line.indexOf(' ', first - BEFORE) + 1 || first;
  const from = start > first ? first : start;
  return `${from > 0 ? '…' : ''}${line.slice(from, from + LENGTH)}${from + LENGTH < line.length ? '…' : ''}`;
}

/** @returns null unless every word is in the title or in some message */
function find(conversation: Conversation, words: readonly string[]): Found | null {
  const { info, messages } = conversation;
  const title = fold(info.title).text;
  const missing = new Set(words.filter((word) => !title.includes(word)));
  let best: { id: string; content: string; count: number } | null = null;
  for (const { id, content } of messages) {
    const folded = fold(content).text;
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
  return conversations.flatMap((conversation) => find(conversation, words) ?? []);
}
