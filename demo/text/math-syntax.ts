/** Where formulas are in Markdown: `$x$`, `\(x\)` in a line; `$$x$$`, `\[x\]` on their own. Prices ($5 and $10) are none. */
import type { TokenizerExtensionFunction, TokenizerStartFunction } from 'marked';

export interface MathToken {
  readonly type: 'math';
  readonly raw: string;
  /** The formula in TeX. */
  readonly text: string;
  readonly display: boolean;
}

/** Characters; longer ones are text. */
const MAX_FORMULA = 2000;

/** No blank line within a formula: so a lone `$$` cannot swallow what follows. */
const BODY = String.raw`((?:(?!\n[ \t]*\n)[\s\S]){1,${MAX_FORMULA}}?)`;
const DISPLAY = new RegExp(String.raw`^(?:\$\$${BODY}\$\$|\\\[${BODY}\\\])`);
const DISPLAY_BLOCK = new RegExp(String.raw`${DISPLAY.source}[ \t]*(?:\n|$)`);
const ROUND = new RegExp(String.raw`^\\\(${BODY}\\\)`);
/** The rule of pandoc: no space inside the dollars, and no digit after them. */
const DOLLAR = new RegExp(String.raw`^\$(?![\s$])((?:\\.|[^\\$\n]){1,${MAX_FORMULA}})(?<!\s)\$(?![\d$])`);

const token = (display: boolean, found: RegExpExecArray | null): MathToken | undefined => {
  const text = found?.[1] ?? found?.[2];
  return found && text?.trim() ? { type: 'math', raw: found[0], text: text.trim(), display } : undefined;
};

export const blockMath: TokenizerExtensionFunction = (source) => token(true, DISPLAY_BLOCK.exec(source));

export const inlineMath: TokenizerExtensionFunction = (source) =>
  token(true, DISPLAY.exec(source)) ?? token(false, ROUND.exec(source) ?? DOLLAR.exec(source));

const startOf =
  (pattern: RegExp, skip: number): TokenizerStartFunction =>
  (source) => {
    const at = source.search(pattern);
    return at < 0 ? undefined : at + skip;
  };

/** A block may interrupt a paragraph at a new line only. */
export const startBlockMath = startOf(/\n(?:\$\$|\\\[)/, 1);
export const startInlineMath = startOf(/(?<![\w$])\$|\\[([]/, 0);
