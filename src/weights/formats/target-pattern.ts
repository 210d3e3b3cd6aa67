/**
 * The regular expressions of `re:` targets, matched in time linear in the text: a pattern comes from a stranger's config.json, and a
 * backtracking engine can be made to run for ever. Thompson's construction over what such patterns use: literals, `.`, classes, groups,
 * alternation, `* + ? {m,n}`, anchors. As with Python's `re.match`, a match starts at the start of the text and may end anywhere.
 */

/** The pattern cannot be matched safely, or is not one. */
export class PatternError extends Error {}

type Test = (code: number) => boolean;

type State =
  | { readonly kind: 'char'; readonly test: Test; next: number }
  | { readonly kind: 'split'; next: number; other: number }
  | { readonly kind: 'start' | 'end'; next: number }
  | { readonly kind: 'match' };

type Node =
  | { readonly kind: 'empty' }
  | { readonly kind: 'char'; readonly test: Test }
  | { readonly kind: 'start' | 'end' }
  | { readonly kind: 'sequence' | 'choice'; readonly parts: readonly Node[] }
  | { readonly kind: 'repeat'; readonly node: Node; readonly min: number; readonly max: number };

const MAX_PATTERN = 1000;
const MAX_STATES = 2000;
const MAX_GROUPS = 50;

const between = (low: string, high: string): Test => {
  const [a, b] = [low.codePointAt(0)!, high.codePointAt(0)!];
  return (c) => c >= a && c <= b;
};
const any =
  (tests: readonly Test[]): Test =>
  (c) =>
    tests.some((t) => t(c));
const not =
  (test: Test): Test =>
  (c) =>
    !test(c);
const digit = between('0', '9');
const word = any([digit, between('a', 'z'), between('A', 'Z'), between('_', '_')]);
const space = any([' ', '\t', '\n', '\r', '\f', '\v'].map((c) => between(c, c)));
const CLASSES: ReadonlyMap<string, Test> = new Map([
  ['d', digit],
  ['D', not(digit)],
  ['w', word],
  ['W', not(word)],
  ['s', space],
  ['S', not(space)],
]);
const dot = not(between('\n', '\n'));

class Parser {
  readonly #chars: readonly string[];
  #at = 0;
  #groups = 0;

  constructor(pattern: string) {
    if (pattern.length > MAX_PATTERN) throw new PatternError(`is longer than ${MAX_PATTERN} characters`);
    this.#chars = [...pattern];
  }

  parse(): Node {
    const node = this.#choice();
    if (this.#at < this.#chars.length) throw new PatternError('has a ")" too many');
    return node;
  }

  #peek(): string | undefined {
    return this.#chars[this.#at];
  }

  #take(char: string): boolean {
    if (this.#peek() !== char) return false;
    this.#at++;
    return true;
  }

  #choice(): Node {
    const parts = [this.#sequence()];
    while (this.#take('|')) parts.push(this.#sequence());
    return parts.length === 1 ? parts[0]! : { kind: 'choice', parts };
  }

  #sequence(): Node {
    const parts: Node[] = [];
    for (let c = this.#peek(); c !== undefined && c !== '|' && c !== ')'; c = this.#peek())
      parts.push(this.#repeated());
    return parts.length === 1 ? parts[0]! : { kind: 'sequence', parts };
  }

  #repeated(): Node {
    const node = this.#atom();
    const counts = this.#counts();
    if (!counts) return node;
    this.#take('?'); // lazy or greedy: what matches is the same
    if (this.#counts() || this.#peek() === '+') throw new PatternError('repeats a repetition');
    return { kind: 'repeat', node, ...counts };
  }

  #counts(): { min: number; max: number } | null {
    if (this.#take('*')) return { min: 0, max: Infinity };
    if (this.#take('+')) return { min: 1, max: Infinity };
    if (this.#take('?')) return { min: 0, max: 1 };
    const found = /^\{(\d{1,3})(?:(,)(\d{1,3})?)?\}/.exec(this.#chars.slice(this.#at, this.#at + 10).join(''));
    if (!found) return null;
    this.#at += found[0].length;
    const min = Number(found[1]);
    const max = found[3] !== undefined ? Number(found[3]) : found[2] ? Infinity : min;
    if (max < min) throw new PatternError('has a repetition whose bounds are swapped');
    return { min, max };
  }

  #atom(): Node {
    const c = this.#chars[this.#at++]!;
    if (c === '.') return { kind: 'char', test: dot };
    if (c === '^') return { kind: 'start' };
    if (c === '$') return { kind: 'end' };
    if (c === '[') return { kind: 'char', test: this.#class() };
    if (c === '(') return this.#group();
    if (c === '\\') return { kind: 'char', test: this.#escape() };
    if (c === '*' || c === '+' || c === '?') throw new PatternError(`has a "${c}" with nothing to repeat`);
    return { kind: 'char', test: between(c, c) };
  }

  #group(): Node {
    if (++this.#groups > MAX_GROUPS) throw new PatternError(`has more than ${MAX_GROUPS} groups`);
    if (this.#take('?') && !this.#take(':')) throw new PatternError('uses (?...), of which only (?:...) is understood');
    const node = this.#choice();
    if (!this.#take(')')) throw new PatternError('has a "(" without its ")"');
    return node;
  }

  #escape(): Test {
    const c = this.#chars[this.#at++];
    if (c === undefined) throw new PatternError('ends in a backslash');
    const test = CLASSES.get(c);
    if (test) return test;
    if (word(c.codePointAt(0)!)) throw new PatternError(`uses \\${c}, which is not understood`);
    return between(c, c);
  }

  #class(): Test {
    const negated = this.#take('^');
    const tests: Test[] = [];
    for (let first = true; first || this.#peek() !== ']'; first = false) {
      const c = this.#chars[this.#at++];
      if (c === undefined) throw new PatternError('has a "[" without its "]"');
      if (c === '\\') {
        tests.push(this.#escape());
        continue;
      }
      const last = this.#chars[this.#at + 1];
      if (this.#peek() === '-' && last !== undefined && last !== ']') {
        if (last === '\\' || last < c) throw new PatternError('has a character range that is not understood');
        this.#at += 2;
        tests.push(between(c, last));
      } else tests.push(between(c, c));
    }
    this.#at++;
    return negated ? not(any(tests)) : any(tests);
  }
}

class Builder {
  readonly states: State[] = [];

  #add(state: State): number {
    if (this.states.length >= MAX_STATES) throw new PatternError(`needs more than ${MAX_STATES} states`);
    return this.states.push(state) - 1;
  }

  build(node: Node): number {
    return this.#compile(node, this.#add({ kind: 'match' }));
  }

  /** The state that matches `node` and goes on at `next`. */
  #compile(node: Node, next: number): number {
    switch (node.kind) {
      case 'empty':
        return next;
      case 'char':
        return this.#add({ kind: 'char', test: node.test, next });
      case 'start':
      case 'end':
        return this.#add({ kind: node.kind, next });
      case 'sequence':
        return node.parts.reduceRight((after, part) => this.#compile(part, after), next);
      case 'choice':
        return node.parts
          .map((part) => this.#compile(part, next))
          .reduce((a, b) => this.#add({ kind: 'split', next: a, other: b }));
      case 'repeat':
        return this.#repeat(node.node, node.min, node.max, next);
    }
  }

  #repeat(node: Node, min: number, max: number, next: number): number {
    let at = next;
    if (max === Infinity) {
      const loop: State = { kind: 'split', next: -1, other: next };
      at = this.#add(loop);
      loop.next = this.#compile(node, at);
    } else {
      for (let i = min; i < max; i++) at = this.#add({ kind: 'split', next: this.#compile(node, at), other: next });
    }
    for (let i = 0; i < min; i++) at = this.#compile(node, at);
    return at;
  }
}

/**
 * @returns whether a text matches, from its start
 * @throws PatternError for what is not understood; nothing is ever guessed
 */
export function compilePattern(pattern: string): (text: string) => boolean {
  const builder = new Builder();
  const start = builder.build(new Parser(pattern).parse());
  const { states } = builder;
  /** Step at which a state was last entered: each is entered once a step, which bounds the time. */
  const entered = new Int32Array(states.length);
  return (text) => {
    const chars = [...text];
    entered.fill(-1);
    const enter = (first: number, step: number, into: number[]): boolean => {
      const pending = [first];
      for (let s = pending.pop(); s !== undefined; s = pending.pop()) {
        if (entered[s] === step) continue;
        entered[s] = step;
        const state = states[s]!;
        if (state.kind === 'match') return true;
        if (state.kind === 'char') into.push(s);
        else if (state.kind === 'split') pending.push(state.other, state.next);
        else if (step === (state.kind === 'start' ? 0 : chars.length)) pending.push(state.next);
      }
      return false;
    };
    let current: number[] = [];
    if (enter(start, 0, current)) return true;
    for (let i = 0; i < chars.length && current.length > 0; i++) {
      const next: number[] = [];
      const code = chars[i]!.codePointAt(0)!;
      for (const s of current) {
        const state = states[s]!;
        if (state.kind === 'char' && state.test(code) && enter(state.next, i + 1, next)) return true;
      }
      current = next;
    }
    return false;
  };
}
