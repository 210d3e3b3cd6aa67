/** Text as the reader should see it: characters that hide, or that turn other characters round, are made visible. */
import { h } from '../dom.ts';

/**
 * Bidirectional embeddings, overrides and isolates; spaces and joiners without width; tag characters. Joiners of emoji and of Arabic and Indic scripts (U+200C,
 * U+200D) and the two marks (U+200E, U+200F), which only place a neighbour, stay as they are.
 */
const HIDDEN =
  /[\u202a-\u202e\u2066-\u2069\u061c\u00ad\u180e\u200b\u2060-\u2064\u206a-\u206f\ufeff\u{e0000}-\u{e007f}]+/gu;

const NAMED_AT_MOST = 3;

function label(run: string): string {
  const characters = [...run];
  if (characters.length > NAMED_AT_MOST) return `${characters.length} hidden characters`;
  return characters.map((c) => `U+${c.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}`).join(' ');
}

/** `<bdi>` ends what the characters begin; the label is drawn by CSS, so that selecting and copying gives the characters themselves. */
const marker = (run: string): HTMLElement => h('bdi', { class: 'hidden-characters', 'data-label': label(run) }, run);

/** Appends `text` to `parent`. */
export function appendText(parent: Node, text: string): void {
  let end = 0;
  for (const match of text.matchAll(HIDDEN)) {
    if (match.index > end) parent.appendChild(document.createTextNode(text.slice(end, match.index)));
    parent.appendChild(marker(match[0]));
    end = match.index + match[0].length;
  }
  if (end < text.length) parent.appendChild(document.createTextNode(text.slice(end)));
}

/** Hebrew, Arabic and their neighbours. */
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/;
const LETTER = /\p{L}/u;

/**
 * By the first letter, as `dir=auto` has it. For what holds many blocks: there `auto` would make the browser look at all of them whenever one is added
 * (20,000 items of a list: 22 s).
 */
export function directionOf(text: string): 'ltr' | 'rtl' {
  const first = LETTER.exec(text)?.[0] ?? '';
  return RIGHT_TO_LEFT.test(first) ? 'rtl' : 'ltr';
}
