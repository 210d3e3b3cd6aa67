/** A block of code: its language, copy, wrap, download; coloured once it rests. */
import { button, h } from '../dom.ts';
import { copyButton } from './copy-button.ts';
import { extensionOf, languageName } from './languages.ts';
import { appendText } from './plain.ts';

/** A block that grows is coloured when nothing came for this long, in milliseconds. */
const REST = 300;
/** Characters; longer code stays plain: colouring 100 k takes about 0.1 s. */
const MAX_HIGHLIGHTED = 100_000;

export class CodeBlock {
  readonly element: HTMLElement;
  readonly #code = h('code');
  readonly #label = h('span', { class: 'code-language' });
  #language = '';
  #text = '';
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(info: string, text: string) {
    const pre = h('pre', { dir: 'ltr', tabindex: 0, role: 'group', 'aria-label': 'Code' }, this.#code);
    const wrap = button('Wrap', 'tool', () => {
      wrap.setAttribute('aria-pressed', String(pre.classList.toggle('wrapped')));
    });
    wrap.setAttribute('aria-pressed', 'false');
    const tools = [wrap, button('Download', 'tool', () => this.#download()), copyButton(() => this.#text, this.#code)];
    this.element = h('div', { class: 'code-block' }, h('div', { class: 'code-bar' }, this.#label, ...tools), pre);
    this.update(info, text);
  }

  /** Shows more of the same code without making the block anew: what was added is appended. */
  update(info: string, text: string): void {
    this.#language = info
      .trim()
      .split(/[\s,{:]/)[0]!
      .toLowerCase();
    this.#label.textContent = languageName(this.#language);
    if (text === this.#text) return;
    if (text.startsWith(this.#text)) appendText(this.#code, text.slice(this.#text.length));
    else this.#showPlain(text);
    this.#text = text;
    this.#later(REST);
  }

  /** Nothing will be added: colours the block. */
  finish(): void {
    this.#later(0);
  }

  #showPlain(text: string): void {
    this.#code.replaceChildren();
    appendText(this.#code, text);
  }

  #later(delay: number): void {
    clearTimeout(this.#timer);
    if (!this.#text || !this.#language || this.#text.length > MAX_HIGHLIGHTED) return;
    this.#timer = setTimeout(() => void this.#highlight(), delay);
  }

  /** Where the colours cannot be fetched, the code stays plain. */
  async #highlight(): Promise<void> {
    const text = this.#text;
    const highlighter = await import('./highlight.ts').catch(() => null);
    if (!highlighter || text !== this.#text) return;
    const nodes = highlighter.highlight(text, this.#language);
    if (nodes) this.#code.replaceChildren(nodes);
  }

  #download(): void {
    const url = URL.createObjectURL(new Blob([this.#text], { type: 'text/plain' }));
    h('a', { href: url, download: `code.${extensionOf(this.#language)}` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 0);
  }
}
