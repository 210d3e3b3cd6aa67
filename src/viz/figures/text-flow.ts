/** Tokens laid out as running text in an SVG: lines wrap at the width, a title opens each stretch. */
import { tokenName } from '../words.ts';

export interface Placed {
  readonly token: number;
  /** As drawn: white space at the edge is a gap, white space alone a sign. */
  readonly text: string;
  readonly x: number;
  /** Top of its line. */
  readonly y: number;
  readonly width: number;
}

export interface Flow {
  readonly placed: readonly Placed[];
  readonly titles: readonly { readonly y: number; readonly title: string }[];
  readonly height: number;
}

export interface FlowInput {
  readonly tokens: readonly number[];
  readonly text: (token: number) => string;
  /** Room that a token takes even if its text is shorter. */
  readonly least: (token: number) => number;
  /** Titles before the token at an index. */
  readonly breaks: readonly { readonly at: number; readonly title: string }[];
  readonly width: number;
  /** Default: measured on a canvas. */
  readonly measure?: (text: string) => number;
}

export const LINE = 38;
export const WORD_FONT = '13px system-ui, sans-serif';
const TITLE = 20;
/** Of a letter of a title, on average. */
const TITLE_LETTER = 6;
const GAP = 4;
const WORD_SPACE = 3;
/** Longer tokens are cut; readouts and the table have them whole. */
const LONGEST = 24;

let canvas: CanvasRenderingContext2D | null = null;
const widths = new Map<string, number>();

function measured(text: string): number {
  const known = widths.get(text);
  if (known !== undefined) return known;
  canvas ??= document.createElement('canvas').getContext('2d')!;
  canvas.font = WORD_FONT;
  const { width } = canvas.measureText(text);
  if (widths.size > 20_000) widths.clear();
  widths.set(text, width);
  return width;
}

export function flowTokens({ tokens, text, least, breaks, width, measure = measured }: FlowInput): Flow {
  const placed: Placed[] = [];
  const titles: { y: number; title: string }[] = [];
  const titleAt = new Map(breaks.map(({ at, title }) => [at, title]));
  let [x, y] = [2, 0];
  tokens.forEach((token, i) => {
    const title = titleAt.get(i);
    if (title !== undefined) {
      if (i > 0) y += LINE + 4;
      titles.push({ y, title: fitting(title, width) });
      [x, y] = [2, y + TITLE];
    }
    const whole = text(token);
    const word = drawn(whole);
    const size = Math.max(least(token), measure(word));
    if (/^\s\S/.test(whole)) x += WORD_SPACE;
    if (x + size > width - 2 && x > 2) [x, y] = [2, y + LINE];
    placed.push({ token, text: word, x, y, width: size });
    x += size + GAP;
  });
  return { placed, titles, height: y + LINE + 2 };
}

function cut(text: string, most: number): string {
  const points = [...text];
  return points.length > most ? `${points.slice(0, most - 1).join('')}…` : text;
}

const drawn = (text: string): string => cut(tokenName(text.trim() === '' ? text : text.trim()), LONGEST);

/** Titles begin with a chat's name and end with what the stretch is: the end stays. */
function fitting(title: string, width: number): string {
  const end = title.lastIndexOf(' · ');
  const rest = end < 0 ? '' : title.slice(end);
  return cut(end < 0 ? title : title.slice(0, end), Math.max(8, Math.floor(width / TITLE_LETTER) - rest.length)) + rest;
}
