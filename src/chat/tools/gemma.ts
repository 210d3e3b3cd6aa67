/** Gemma 4: `<|tool_call>call:name{key:<|"|>text<|"|>,n:3,xs:[1,2]}<tool_call|>`, one call each. A forced call has JSON between the same marks. */
import type { OutputSink, State } from '../output.ts';
import { argumentsOf, type ToolFormat } from './format.ts';

const OPEN = '<|tool_call>';
const CLOSE = '<tool_call|>';
/** Around texts, in place of quotes; nothing inside is escaped. */
const QUOTE = '<|"|>';

type Value = null | boolean | number | string | Value[] | { [key: string]: Value };

/** Reads values whose keys, and whose texts of one word, may stand without quotes. */
class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** @returns null when the text is no object from its first to its last character */
  whole(): Value | null {
    const value = this.#takes('{') ? this.#members() : null;
    return this.#text.slice(this.#at).trim() === '' ? value : null;
  }

  #takes(mark: string): boolean {
    while (/\s/.test(this.#text[this.#at] ?? '')) this.#at++;
    const is = this.#text.startsWith(mark, this.#at);
    if (is) this.#at += mark.length;
    return is;
  }

  #members(): Value | null {
    const members: [string, Value][] = [];
    while (!this.#takes('}')) {
      const key = this.#quoted() ?? this.#bare(/[^:{}[\],]*/y).trim();
      if (!this.#takes(':')) return null;
      members.push([key, this.#value()]);
      if (!this.#takes(',') && !this.#text.startsWith('}', this.#at)) return null;
    }
    return Object.fromEntries(members);
  }

  #items(): Value[] {
    const items: Value[] = [];
    while (!this.#takes(']') && this.#at < this.#text.length) {
      items.push(this.#value());
      this.#takes(',');
    }
    return items;
  }

  #value(): Value {
    const text = this.#quoted();
    if (text !== null) return text;
    if (this.#takes('{')) return this.#members();
    if (this.#takes('[')) return this.#items();
    const word = this.#bare(/[^,{}[\]]*/y).trim();
    try {
      return JSON.parse(word) as Value;
    } catch {
      return word;
    }
  }

  #quoted(): string | null {
    if (this.#takes(QUOTE)) {
      const end = this.#text.indexOf(QUOTE, this.#at);
      const text = this.#text.slice(this.#at, end < 0 ? undefined : end);
      this.#at += text.length + (end < 0 ? 0 : QUOTE.length);
      return text;
    }
    if (this.#text[this.#at] !== '"') return null;
    const text = this.#bare(/"(?:[^"\\]|\\[^])*"?/y);
    try {
      return JSON.parse(text) as string;
    } catch {
      return text;
    }
  }

  /** @param pattern sticky */
  #bare(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const [text] = pattern.exec(this.#text) ?? [''];
    this.#at += text.length;
    return text;
  }
}

const isOpen = (body: string): boolean => body.split(QUOTE).length % 2 === 0;

function readCall(sink: OutputSink, back: () => State): State {
  let body = '';
  const finish = (end: string): void => {
    const [, name, rest] = /^\s*call:\s*([^\s{]+)\s*(\{[^]*)$/.exec(body) ?? [];
    const value = rest === undefined ? null : new Reader(rest).whole();
    if (name === undefined || value === null) return sink.text(OPEN + body + end);
    sink.call(name);
    sink.arguments(JSON.stringify(value));
  };
  const state: State = {
    markers: [CLOSE],
    text: (text) => void (body += text),
    marker(marker) {
      if (isOpen(body)) {
        body += marker;
        return state;
      }
      finish(marker);
      return back();
    },
    end: () => finish(''),
  };
  return state;
}

export const gemma: ToolFormat = {
  recognises: (template) => template.includes(OPEN) && template.includes(CLOSE),
  openers: [OPEN],
  read: (sink, _tools, back) => readCall(sink, back),
  forced: (tool) => ({ sequence: [`${OPEN}call:${tool.name}`, argumentsOf(tool), CLOSE] }),
};
