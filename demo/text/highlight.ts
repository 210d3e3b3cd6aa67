/** Colours for code. Loaded when the first block wants them; builds nodes, no HTML. */
import type { Emitter, HLJSOptions, LanguageFn } from 'highlight.js';
import hljs from 'highlight.js/lib/core';
import bash from 'highlight.js/lib/languages/bash';
import cpp from 'highlight.js/lib/languages/cpp';
import css from 'highlight.js/lib/languages/css';
import go from 'highlight.js/lib/languages/go';
import java from 'highlight.js/lib/languages/java';
import javascript from 'highlight.js/lib/languages/javascript';
import json from 'highlight.js/lib/languages/json';
import python from 'highlight.js/lib/languages/python';
import rust from 'highlight.js/lib/languages/rust';
import sql from 'highlight.js/lib/languages/sql';
import typescript from 'highlight.js/lib/languages/typescript';
import xml from 'highlight.js/lib/languages/xml';
import yaml from 'highlight.js/lib/languages/yaml';
import { h } from '../dom.ts';
import { appendText } from './plain.ts';

const LANGUAGES: Readonly<Record<string, LanguageFn>> = {
  bash,
  cpp,
  css,
  go,
  java,
  javascript,
  json,
  python,
  rust,
  sql,
  typescript,
  xml,
  yaml,
};

/** Takes what the highlighter finds and makes spans of it, where its own emitter makes HTML. */
class NodeEmitter implements Emitter {
  readonly nodes = document.createDocumentFragment();
  readonly #open: Node[] = [this.nodes];

  addText(text: string): void {
    appendText(this.#top, text);
  }

  startScope(scope: string): void {
    // `title.function` is a title that is also a function.
    const span = h('span', {
      class: scope
        .split('.')
        .map((part) => `hl-${part}`)
        .join(' '),
    });
    this.#top.appendChild(span);
    this.#open.push(span);
  }

  endScope(): void {
    if (this.#open.length > 1) this.#open.pop();
  }

  /** Modes open and close by these names, keywords by those above. */
  openNode(scope: string): void {
    this.startScope(scope);
  }

  closeNode(): void {
    this.endScope();
  }

  __addSublanguage(emitter: Emitter): void {
    this.#top.appendChild((emitter as NodeEmitter).nodes);
  }

  finalize(): void {
    this.#open.length = 1;
  }

  toHTML(): string {
    return '';
  }

  get #top(): Node {
    return this.#open.at(-1)!;
  }
}

for (const [name, language] of Object.entries(LANGUAGES)) hljs.registerLanguage(name, language);
hljs.configure({ __emitter: NodeEmitter } as Partial<HLJSOptions>);

/** null where the language is not known, or the text is not of it. The nodes hold `text` and nothing else. */
export function highlight(text: string, language: string): DocumentFragment | null {
  if (!hljs.getLanguage(language)) return null;
  const result = hljs.highlight(text, { language, ignoreIllegals: true });
  const { nodes } = result._emitter as NodeEmitter;
  return nodes.textContent === text ? nodes : null;
}
