/** Inline tokens to nodes. Strings only ever become text nodes. */
import type { Token } from 'marked';
import { h } from '../dom.ts';
import { decodeEntities } from './entities.ts';
import { imageNode, linkNode } from './link.ts';
import type { TextToken } from './markdown.ts';
import { mathNode } from './math.ts';
import { appendText } from './plain.ts';

/** Emphasis in emphasis, links in them; deeper ones are shown as written. */
const MAX_DEPTH = 16;

const TAGS = { strong: 'strong', em: 'em', del: 'del' } as const;

function appendInline(parent: Node, token: TextToken, depth: number): void {
  switch (token.type) {
    case 'strong':
    case 'em':
    case 'del':
      parent.appendChild(h(TAGS[token.type], {}, inlineNodes(token.tokens, depth + 1)));
      return;
    case 'codespan':
      parent.appendChild(codeSpan(token.text));
      return;
    case 'br':
      parent.appendChild(h('br'));
      return;
    case 'link': {
      const words = inlineNodes(token.tokens, depth + 1);
      parent.appendChild(linkNode(token.href, words.textContent ?? '', words));
      return;
    }
    case 'image':
      parent.appendChild(imageNode(token.href, token.text));
      return;
    case 'math':
      parent.appendChild(mathNode(token));
      return;
    case 'checkbox':
      parent.appendChild(checkbox(token.checked));
      return;
    case 'text':
      if (token.tokens?.length) parent.appendChild(inlineNodes(token.tokens, depth));
      else appendText(parent, token.escaped ? token.text : decodeEntities(token.text));
      return;
    case 'escape':
      appendText(parent, token.text);
      return;
    default:
      // Raw HTML, and whatever a later lexer may add.
      appendText(parent, token.raw);
  }
}

function codeSpan(text: string): HTMLElement {
  const element = h('code', { dir: 'ltr' });
  appendText(element, text);
  return element;
}

const checkbox = (checked: boolean): HTMLElement =>
  h('span', { class: 'task', role: 'img', 'aria-label': checked ? 'Done' : 'To do' }, checked ? '☑' : '☐');

export function inlineNodes(tokens: readonly Token[] | undefined, depth = 0): DocumentFragment {
  const fragment = document.createDocumentFragment();
  for (const token of tokens ?? []) {
    if (depth > MAX_DEPTH) appendText(fragment, token.raw);
    else appendInline(fragment, token as TextToken, depth);
  }
  return fragment;
}
