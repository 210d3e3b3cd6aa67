/** Markdown to tokens, within limits that keep hostile text from costing more than its length. */
import { Lexer, type Links, type MarkedToken, type Token } from 'marked';
import { blockMath, inlineMath, startBlockMath, startInlineMath, type MathToken } from './math-syntax.ts';

/** What the lexer gives here; raw HTML is a token like any other and is shown as text. */
export type TextToken = MarkedToken | MathToken;

/** Characters of one run of inline text; a longer one is shown as written, since emphasis takes quadratic time (8 k of `_a__b`: 0.5 s on a busy core). */
const MAX_INLINE = 8192;

/** Lists and quotes within each other, on one line or by indentation: the lexer copies the text once a level. */
const TOO_DEEP = /^(?:[ \t]*(?:>|(?:[-*+]|\d{1,9}[.)])[ \t])){17}|^[ \t]{100,}(?:[-*+]|\d{1,9}[.)])[ \t]/m;

const OPTIONS = {
  gfm: true,
  extensions: {
    renderers: {},
    childTokens: {},
    block: [blockMath],
    startBlock: [startBlockMath],
    inline: [inlineMath],
    startInline: [startInlineMath],
  },
};

const asWritten = (source: string): TextToken[] => [
  {
    type: 'paragraph',
    raw: source,
    text: source,
    tokens: [{ type: 'text', raw: source, text: source, escaped: true }],
  },
];

/**
 * The blocks of `source`, each with its inline tokens.
 * @param links definitions of link references so far; those of `source` are added
 */
export function lexMarkdown(source: string, links: Links): TextToken[] {
  if (TOO_DEEP.test(source)) return asWritten(source);
  const lexer = new Lexer(OPTIONS);
  lexer.tokens.links = links;
  lexer.blockTokens(source, lexer.tokens);
  for (const { src, tokens } of lexer.inlineQueue) {
    if (src.length > MAX_INLINE) tokens.push({ type: 'text', raw: src, text: src, escaped: true } as Token);
    else lexer.inlineTokens(src, tokens);
  }
  return lexer.tokens as TextToken[];
}
