/** Regular expressions of JSON Schema: those that a finite automaton can follow. */
import { complement, oneOf, type Range } from './characters.ts';
import type { Expression, Expressions } from './expression.ts';

/** Repetitions of one part: more could not be told apart in reasonable memory. */
const MOST_REPEATS = 10_000;

const DIGIT: readonly Range[] = [[0x30, 0x39]];
const WORD: readonly Range[] = [...DIGIT, [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]];
const BLANK: readonly Range[] = [
  [9, 13],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
];
const CLASSES: Readonly<Record<string, readonly Range[]>> = {
  d: DIGIT,
  w: WORD,
  s: BLANK,
  D: complement(DIGIT),
  W: complement(WORD),
  S: complement(BLANK),
};
/** All but the ends of lines. */
const DOT = complement([
  [10, 10],
  [13, 13],
  [0x2028, 0x2029],
]);
const CONTROLS: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, f: 12, v: 11, '0': 0 };

class Parser {
  readonly #make: Expressions;
  readonly #source: string[];
  readonly #refuse: (reason: string) => never;
  #at = 0;

  constructor(source: string, make: Expressions, refuse: (reason: string) => never) {
    this.#make = make;
    this.#source = Array.from(source);
    this.#refuse = refuse;
  }

  /** Alternatives, each with anchors of its own; without one, any characters go before or after. */
  whole(): Expression {
    const any = this.#make.text(0, Infinity);
    const options: Expression[] = [];
    do {
      const before = this.#takes('^') ? this.#make.empty : any;
      const part = this.#terms();
      options.push(this.#make.sequence(before, part, this.#takes('$') ? this.#make.empty : any));
    } while (this.#takes('|'));
    if (this.#at < this.#source.length)
      this.#refuse(`holds ${JSON.stringify(this.#source[this.#at])} in a wrong place`);
    return this.#make.choice(...options);
  }

  #takes(character: string): boolean {
    const is = this.#source[this.#at] === character;
    if (is) this.#at++;
    return is;
  }

  #next(): string {
    return this.#source[this.#at++] ?? this.#refuse('ends too early');
  }

  #terms(): Expression {
    const parts: Expression[] = [];
    for (let c = this.#source[this.#at]; c !== undefined && !'|)$'.includes(c); c = this.#source[this.#at]) {
      parts.push(this.#quantified(this.#atom()));
    }
    return this.#make.sequence(...parts);
  }

  #atom(): Expression {
    const c = this.#next();
    if (c === '(') return this.#group();
    if ('^*+?{}]'.includes(c)) return this.#refuse(`holds ${JSON.stringify(c)} in a wrong place`);
    return oneOf(this.#make, c === '.' ? DOT : c === '[' ? this.#class() : c === '\\' ? this.#escape() : pointOf(c));
  }

  #group(): Expression {
    if (this.#takes('?') && !this.#takes(':')) this.#refuse('looks around or names a group; use (...) or (?:...)');
    const options = [this.#terms()];
    while (this.#takes('|')) options.push(this.#terms());
    if (!this.#takes(')')) this.#refuse('has an open group, or an anchor inside one');
    return this.#make.choice(...options);
  }

  #quantified(item: Expression): Expression {
    const bounds = this.#bounds();
    if (!bounds) return item;
    this.#takes('?');
    const [min, max] = bounds;
    if (min > max || Math.max(min, max < Infinity ? max : 0) > MOST_REPEATS) {
      this.#refuse(`repeats ${min} to ${max} times; at most ${MOST_REPEATS} are possible`);
    }
    return this.#make.repeat(item, min, max);
  }

  #bounds(): readonly [number, number] | null {
    if (this.#takes('*')) return [0, Infinity];
    if (this.#takes('+')) return [1, Infinity];
    if (this.#takes('?')) return [0, 1];
    if (!this.#takes('{')) return null;
    let text = '';
    for (let c = this.#next(); c !== '}'; c = this.#next()) text += c;
    const [, min, comma, max] = /^(\d+)(,?)(\d*)$/.exec(text) ?? this.#refuse(`repeats {${text}} times`);
    return [Number(min), max ? Number(max) : comma ? Infinity : Number(min)];
  }

  /** After `[`. */
  #class(): readonly Range[] {
    const isComplement = this.#takes('^');
    const ranges: Range[] = [];
    while (!this.#takes(']')) {
      const from = this.#member();
      const hasEnd = this.#source[this.#at] === '-' && this.#source[this.#at + 1] !== ']';
      if (!hasEnd) {
        ranges.push(...from);
        continue;
      }
      this.#at++;
      const [[a, end], [b, last]] = [from[0]!, this.#member()[0]!];
      if (a !== end || b !== last) this.#refuse('has a range between more than two characters');
      if (a > b) this.#refuse('has a range whose end is before its start');
      ranges.push([a, b]);
    }
    return isComplement ? complement(ranges) : ranges;
  }

  #member(): readonly Range[] {
    const c = this.#next();
    if (c !== '\\') return pointOf(c);
    return this.#takes('b') ? [[8, 8]] : this.#takes('-') ? pointOf('-') : this.#escape();
  }

  /** After a backslash. */
  #escape(): readonly Range[] {
    const c = this.#next();
    if (c in CLASSES) return CLASSES[c]!;
    if (c in CONTROLS && !(c === '0' && /\d/.test(this.#source[this.#at] ?? ''))) return [[CONTROLS[c]!, CONTROLS[c]!]];
    if (c === 'x') return this.#hex(2);
    if (c === 'u') return this.#hex(4);
    if (/[A-Za-z0-9]/.test(c)) return this.#refuse(`uses \\${c}, which is not supported`);
    return pointOf(c);
  }

  #hex(digits: number): readonly Range[] {
    const rest = this.#source.slice(this.#at).join('');
    const match = new RegExp(`^(?:([0-9A-Fa-f]{${digits}})${digits === 4 ? '|\\{([0-9A-Fa-f]{1,6})\\}' : ''})`).exec(
      rest,
    );
    if (!match) return this.#refuse('has an escape without its digits');
    const point = parseInt(match[1] ?? match[2]!, 16);
    this.#at += match[0].length;
    if (point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) {
      this.#refuse('names half a character or none; write the character itself, or \\u{...}');
    }
    return [[point, point]];
  }
}

const pointOf = (c: string): readonly Range[] => [[c.codePointAt(0)!, c.codePointAt(0)!]];

/**
 * What of a JSON string the pattern allows, between its quotes.
 * @param refuse called with what the pattern does that is not supported; must throw
 */
export const compilePattern = (source: string, make: Expressions, refuse: (reason: string) => never): Expression =>
  new Parser(source, make, refuse).whole();
