/** The text of one message, shown as Markdown while it comes in. No part of it is ever parsed as HTML. */
import type { Links } from 'marked';
import { h } from '../dom.ts';
import { blockElement, codeBlock } from './blocks.ts';
import type { CodeBlock } from './code-block.ts';
import { heal } from './heal.ts';
import { lexMarkdown, type TextToken } from './markdown.ts';

/** Characters looked at in one step, so that a stored megabyte does not stop the page; doubled while a single block is longer. */
const WINDOW = 16_384;
/** A rendering is followed by a pause of at least this many times its length: a block that grows without end cannot take the page. */
const PAUSE = 3;
/** Milliseconds of a frame that a long text which is already there may take. */
const SLICE = 12;

/** Definitions of links without a prototype: their names come from the text. */
const noLinks = (): Links => Object.create(null) as Links;

export class MessageBody {
  readonly element = h('div', { class: 'text markdown' });
  #text = '';
  /** The end of the text that may still change its meaning: its last block, and what was not looked at yet. */
  #tail = '';
  #links = noLinks();
  #window = WINDOW;
  /** What the last block looks like for now. */
  #live: Element[] = [];
  /** The last block, if it is code: it grows in place, so that its buttons keep their focus. */
  #liveCode: CodeBlock | null = null;
  #isBehind = false;
  #isFinished = false;
  #frame: number | null = null;
  #notBefore = 0;

  /** The Markdown source, as it came. */
  get text(): string {
    return this.#text;
  }

  /** What comes first in a frame is shown at once, the rest in the next one. */
  append(text: string): void {
    if (!text) return;
    this.#text += text;
    this.#tail += text;
    this.#isBehind = true;
    if (this.#frame === null) this.#render();
    this.#schedule();
  }

  /** Nothing will follow: shows the final form. Of a long text, the end comes in the next frames. */
  finish(): void {
    this.#isFinished = true;
    this.#isBehind = true;
    // A definition may follow the words that refer to it.
    if (Object.keys(this.#links).length > 0) this.#restart();
    this.#notBefore = 0;
    this.#render();
    if (this.#isBehind) this.#schedule();
  }

  /** Shows all that came, now. */
  flush(): void {
    while (this.#isBehind) this.#step();
  }

  #restart(): void {
    this.element.replaceChildren();
    this.#live = [];
    this.#liveCode = null;
    this.#tail = this.#text;
  }

  /** One frame without work ends it. */
  #schedule(): void {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = null;
      if (!this.#isBehind) return;
      this.#render();
      this.#schedule();
    });
  }

  #render(): void {
    const start = performance.now();
    if (start < this.#notBefore) return;
    do this.#step();
    while (this.#isBehind && performance.now() - start < SLICE);
    const now = performance.now();
    if (!this.#isBehind) this.#notBefore = now + PAUSE * (now - start);
  }

  /** Looks at one window of the tail: settles its blocks, and shows the last one for now. */
  #step(): void {
    const source = this.#nextWindow();
    const isWhole = source.length === this.#tail.length;
    const tokens = lexMarkdown(source, Object.assign(noLinks(), this.#links));
    const count = isWhole && this.#isFinished ? tokens.length : settledCount(tokens, source);
    for (const token of tokens.slice(0, count)) this.#settle(token);
    const length = isWhole && this.#isFinished ? source.length : lengthOf(tokens.slice(0, count));
    this.#tail = this.#tail.slice(length);
    this.#window = !isWhole && length === 0 ? this.#window * 2 : WINDOW;
    if (!isWhole) return;
    this.#isBehind = false;
    if (this.#isFinished) this.#replaceLive([]);
    else this.#showLive(tokens.slice(count));
  }

  /** Ends with a whole line, where there is one. */
  #nextWindow(): string {
    // A return at the very end may be half a line end.
    this.#tail = this.#tail.replace(/\r\n|\r(?!$)/g, '\n');
    if (this.#tail.length <= this.#window) return this.#tail;
    const end = this.#tail.lastIndexOf('\n', this.#window - 1) + 1;
    return this.#tail.slice(0, end || this.#window);
  }

  #settle(token: TextToken): void {
    if (token.type === 'def') this.#links[token.tag] ??= { href: token.href, title: token.title };
    if (token.type === 'code' && this.#liveCode) {
      this.#liveCode.update(token.lang ?? '', token.text);
      this.#liveCode.finish();
      this.#liveCode = null;
      this.#live = [];
      return;
    }
    this.#replaceLive([]);
    const element = blockElement(token, { isLive: false });
    if (element) this.element.append(element);
  }

  #showLive(tokens: readonly TextToken[]): void {
    const [first] = tokens;
    if (first?.type === 'code') {
      const shown = lexMarkdown(heal(this.#tail), noLinks())[0];
      const code = shown?.type === 'code' ? shown : first;
      if (this.#liveCode) return this.#liveCode.update(code.lang ?? '', code.text);
      const made = codeBlock(code, { isLive: true });
      this.#replaceLive([made.element]);
      this.#liveCode = made;
      return;
    }
    const healed = lexMarkdown(heal(this.#tail), Object.assign(noLinks(), this.#links));
    this.#replaceLive(healed.flatMap((token) => blockElement(token, { isLive: true }) ?? []));
  }

  #replaceLive(elements: readonly Element[]): void {
    for (const element of this.#live) element.remove();
    this.#live = [...elements];
    this.#liveCode = null;
    this.element.append(...elements);
  }
}

const lengthOf = (tokens: readonly TextToken[]): number => tokens.reduce((sum, { raw }) => sum + raw.length, 0);

/** How many tokens can no longer change: those before the last block, as far as they are the text letter by letter. */
function settledCount(tokens: readonly TextToken[], source: string): number {
  const last = tokens.findLastIndex(({ type }) => type !== 'space');
  let at = 0;
  for (const [i, { raw }] of tokens.entries()) {
    if (i >= last || !source.startsWith(raw, at)) return i;
    at += raw.length;
  }
  return 0;
}
