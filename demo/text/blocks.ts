/** Block tokens to elements. */
import type { Token, Tokens } from 'marked';
import { h } from '../dom.ts';
import { CodeBlock } from './code-block.ts';
import { inlineNodes } from './inline.ts';
import type { TextToken } from './markdown.ts';
import { mathNode } from './math.ts';
import { appendText, directionOf } from './plain.ts';

/** Quotes and lists within each other; deeper ones are shown as written. */
const MAX_DEPTH = 16;
/** The page's own headings come first: `#` is an h3. */
const HEADINGS = ['h3', 'h4', 'h5', 'h6', 'h6', 'h6'] as const;

export interface BlockOptions {
  /** The text may go on: nothing is highlighted yet. */
  readonly isLive: boolean;
  readonly depth?: number;
}

/** null for what shows nothing: blank lines, definitions of links. */
export function blockElement(token: TextToken, options: BlockOptions): HTMLElement | null {
  const { depth = 0 } = options;
  if (depth > MAX_DEPTH) return asWritten(token.raw);
  switch (token.type) {
    case 'space':
    case 'def':
      return null;
    case 'paragraph':
      return h('p', { dir: 'auto' }, inlineNodes(token.tokens));
    case 'heading':
      return h(HEADINGS[token.depth - 1] ?? 'h6', { dir: 'auto' }, inlineNodes(token.tokens));
    case 'code':
      return codeBlock(token, options).element;
    case 'blockquote':
      return h(
        'blockquote',
        { dir: directionOf(token.text) },
        blockNodes(token.tokens, { ...options, depth: depth + 1 }),
      );
    case 'list':
      return list(token, options);
    case 'table':
      return table(token);
    case 'hr':
      return h('hr');
    case 'math':
      return h('p', {}, mathNode(token));
    case 'html':
      return asWritten(token.raw);
    default:
      return h('p', { dir: 'auto' }, inlineNodes([token]));
  }
}

export function codeBlock(token: Tokens.Code, { isLive }: BlockOptions): CodeBlock {
  const block = new CodeBlock(token.lang ?? '', token.text);
  if (!isLive) block.finish();
  return block;
}

function blockNodes(tokens: readonly Token[], options: BlockOptions): DocumentFragment {
  const fragment = document.createDocumentFragment();
  for (const token of tokens as readonly TextToken[]) {
    const element = blockElement(token, options);
    if (element) fragment.append(element);
  }
  return fragment;
}

function asWritten(raw: string): HTMLElement {
  const element = h('p', { class: 'as-written', dir: 'auto' });
  appendText(element, raw);
  return element;
}

function list(token: Tokens.List, options: BlockOptions): HTMLElement {
  const items = token.items.map((entry) => item(entry, options));
  const dir = directionOf(token.raw);
  if (!token.ordered) return h('ul', { dir }, ...items);
  return h('ol', { dir, start: token.start === '' ? 1 : token.start }, ...items);
}

const INLINE = ['text', 'checkbox'];

/** A tight item holds text without a paragraph of its own. */
function item(entry: Tokens.ListItem, options: BlockOptions): HTMLElement {
  const element = h('li', entry.task ? { class: 'task-item', dir: 'auto' } : { dir: 'auto' });
  for (const token of entry.tokens as readonly TextToken[]) {
    if (INLINE.includes(token.type)) element.append(inlineNodes([token]));
    else element.append(blockNodes([token], { ...options, depth: (options.depth ?? 0) + 1 }));
  }
  return element;
}

const cell = (tag: 'th' | 'td', { tokens, align }: Tokens.TableCell): HTMLElement =>
  h(tag, { dir: 'auto', ...(align ? { class: `align-${align}` } : {}) }, inlineNodes(tokens));

/** The frame scrolls sideways, by keyboard too, where the table is wider than the page. */
function table(token: Tokens.Table): HTMLElement {
  const head = h('thead', {}, h('tr', {}, ...token.header.map((c) => cell('th', c))));
  const body = token.rows.map((row) => h('tr', {}, ...row.map((c) => cell('td', c))));
  return h(
    'div',
    { class: 'table-frame', role: 'group', 'aria-label': 'Table', tabindex: 0 },
    h('table', {}, head, body.length ? h('tbody', {}, ...body) : null),
  );
}
