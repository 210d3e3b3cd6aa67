/** Markdown that still streams: closes what is open, so that half a word of bold shows as bold and not as asterisks. */

interface Open {
  readonly char: string;
  readonly length: number;
}

/** The start of a line that may become a list, a heading, a rule or a fence: not shown until it is one. */
const UNDECIDED_LINE = /(^|\n)[ \t]*(?:[-=*+~`#]{1,2})$/;
/** Where the last run of inline text begins: after a blank line, or at the mark of a list item, quote, heading or table row. */
const LAST_INLINE = /(?:^|\n)(?:[ \t]*\n|[ \t]*(?:(?:[-*+]|\d{1,9}[.)]|#{1,6})[ \t]+|[>|][ \t]?)+)/g;
const UNFINISHED_LINK = /!?\[([^\]\n]*)\]\([^)\s]*$/;

const isWord = (char: string | undefined): boolean => char !== undefined && /[\p{L}\p{N}]/u.test(char);
const isSpace = (char: string | undefined): boolean => char === undefined || /\s/.test(char);

function lastInlineStart(source: string): number {
  let start = 0;
  for (const match of source.matchAll(LAST_INLINE)) start = match.index + match[0].length;
  return start;
}

const runAt = (text: string, at: number): string => {
  let end = at + 1;
  while (text[end] === text[at]) end++;
  return text.slice(at, end);
};

/** Where the code span that `ticks` opens ends, or -1. */
function endOfCode(text: string, from: number, ticks: string): number {
  for (let at = text.indexOf(ticks, from); at >= 0; at = text.indexOf(ticks, at)) {
    const run = runAt(text, at);
    if (run.length === ticks.length) return at + run.length;
    at += run.length;
  }
  return -1;
}

/** Takes one run of emphasis marks into account. */
function emphasise(stack: Open[], run: string, before: string | undefined, after: string | undefined): void {
  const char = run[0]!;
  const isInside = char === '_' && isWord(before) && isWord(after);
  if (isInside || (char === '~' && run.length !== 2)) return;
  const top = stack.at(-1);
  if (!isSpace(before) && top?.char === char && run.length >= top.length) {
    stack.pop();
    if (run.length > top.length) emphasise(stack, run.slice(top.length), before, after);
  } else if (!isSpace(after)) stack.push({ char, length: run.length });
}

/** Closes the marks that `text`, a run of inline Markdown, leaves open. */
function closeInline(text: string): string {
  const stack: Open[] = [];
  for (let at = 0; at < text.length;) {
    const char = text[at]!;
    if (char === '\\') at += 2;
    else if (char === '`') {
      const ticks = runAt(text, at);
      const end = endOfCode(text, at + ticks.length, ticks);
      if (end < 0) {
        const rest = text.slice(at + ticks.length).replace(/`+$/, '');
        return rest.trim() ? closed(text.slice(0, at) + ticks + rest, stack, ticks) : closed(text.slice(0, at), stack);
      }
      at = end;
    } else if (char === '*' || char === '_' || char === '~') {
      const run = runAt(text, at);
      const after = text[at + run.length];
      // At the very end a run may still grow: it is left out, and what it would close is closed anyway.
      if (after === undefined) return closed(text.slice(0, at), stack);
      emphasise(stack, run, text[at - 1], after);
      at += run.length;
    } else at++;
  }
  return closed(text, stack);
}

const closed = (text: string, stack: readonly Open[], first = ''): string => {
  const kept = text.trimEnd();
  const marks = [...stack].reverse().map(({ char, length }) => char.repeat(length));
  return kept + first + marks.join('') + text.slice(kept.length);
};

const hasOpenFence = (source: string): boolean => (source.match(/^[ \t>]*(?:```|~~~)/gm)?.length ?? 0) % 2 === 1;

/** @param source the last block of a text that goes on */
export function heal(source: string): string {
  const shown = source.replace(UNDECIDED_LINE, '$1');
  if (hasOpenFence(shown)) return shown;
  const start = lastInlineStart(shown);
  return shown.slice(0, start) + closeInline(shown.slice(start).replace(UNFINISHED_LINK, '$1'));
}
