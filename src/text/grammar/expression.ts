/**
 * What may be written, as expressions over symbols (bytes, and added tokens). They are immutable and equal ones are the same object, so that
 * what remains of one after a symbol is again one of few.
 */
import { characterFollows } from './characters.ts';
import { FIRST_ADDED, spellingCosts, type Vocabulary } from './vocabulary.ts';

export type Expression =
  | { readonly id: number; readonly kind: 'empty' | 'never' }
  /** One byte of a set: [256], 1 for members. */
  | { readonly id: number; readonly kind: 'byte'; readonly members: Uint8Array }
  /** Symbols [at, end) one after the other. */
  | { readonly id: number; readonly kind: 'literal'; readonly literal: Literal; readonly at: number }
  | { readonly id: number; readonly kind: 'sequence'; readonly first: Expression; readonly second: Expression }
  | { readonly id: number; readonly kind: 'choice'; readonly options: readonly Expression[] }
  | {
      readonly id: number;
      readonly kind: 'repeat';
      readonly item: Expression;
      readonly min: number;
      readonly max: number;
    }
  /** `min` to `max` characters inside a JSON string, as they are or escaped: `repeat` with a short way for whole tokens. */
  | { readonly id: number; readonly kind: 'text'; readonly min: number; readonly max: number }
  | { readonly id: number; readonly kind: 'lazy'; readonly get: () => Expression };

interface Literal {
  readonly symbols: readonly number[];
  /** [n + 1] fewest tokens for the symbols from i on. */
  readonly costs: readonly number[];
  readonly tails: Expression[];
}

type Shape<T = Expression> = T extends Expression ? Omit<T, 'id'> : never;

const encoder = new TextEncoder();

export class Expressions {
  readonly vocabulary: Vocabulary;
  readonly #known = new Map<string, Expression>();
  readonly #costs = new Map<Expression, number>();
  readonly #textCosts: number[] = [0];
  readonly empty: Expression;
  readonly never: Expression;
  /** [256] what is left of a character in a JSON string after its first byte; null where none begins so. */
  readonly follows: readonly (Expression | null)[];

  constructor(vocabulary: Vocabulary) {
    this.vocabulary = vocabulary;
    this.empty = this.#intern('e', { kind: 'empty' });
    this.never = this.#intern('n', { kind: 'never' });
    this.follows = characterFollows(this);
  }

  #intern(key: string, shape: Shape): Expression {
    let known = this.#known.get(key);
    if (!known) this.#known.set(key, (known = { id: this.#known.size, ...shape }));
    return known;
  }

  /** One byte of any of the ranges (both ends included). */
  bytes(...ranges: readonly (readonly [number, number])[]): Expression {
    const members = new Uint8Array(256);
    for (const [from, to] of ranges) members.fill(1, from, to + 1);
    return this.#intern(`b${members.join('')}`, { kind: 'byte', members });
  }

  /** @param added whether contents of added tokens mean those tokens */
  literal(text: string, added = false): Expression {
    const key = `l${added}${text}`;
    const known = this.#known.get(key);
    if (known) return known;
    const parts = added ? this.vocabulary.added.split(text, { start: 0, end: text.length }, () => true) : null;
    const symbols = (parts ?? [{ token: null, start: 0, end: text.length }]).flatMap((part) =>
      part.token ? [FIRST_ADDED + part.token.id] : [...encoder.encode(text.slice(part.start, part.end))],
    );
    if (symbols.length === 0) return this.empty;
    const literal: Literal = { symbols, costs: spellingCosts(this.vocabulary, symbols), tails: [] };
    return (literal.tails[0] = this.#intern(key, { kind: 'literal', literal, at: 0 }));
  }

  /** A literal without its first symbol. */
  tail({ literal, at }: { readonly literal: Literal; readonly at: number }): Expression {
    const next = at + 1;
    if (next === literal.symbols.length) return this.empty;
    return (literal.tails[next] ??= this.#intern(`t${literal.tails[0]!.id},${next}`, {
      kind: 'literal',
      literal,
      at: next,
    }));
  }

  sequence(...parts: readonly Expression[]): Expression {
    return parts.reduceRight((second, first) => {
      if (first === this.empty) return second;
      if (second === this.empty) return first;
      return this.#intern(`s${first.id},${second.id}`, { kind: 'sequence', first, second });
    }, this.empty);
  }

  choice(...options: readonly Expression[]): Expression {
    const unique = [...new Set(options)].filter((option) => option !== this.never);
    if (unique.length < 2) return unique[0] ?? this.never;
    return this.#intern(`c${unique.map((o) => o.id).join()}`, { kind: 'choice', options: unique });
  }

  optional(item: Expression): Expression {
    return this.choice(item, this.empty);
  }

  repeat(item: Expression, min: number, max: number): Expression {
    if (max <= 0 || item === this.empty) return this.empty;
    return this.#intern(`r${item.id},${min},${max}`, { kind: 'repeat', item, min: Math.max(0, min), max });
  }

  text(min: number, max: number): Expression {
    if (max <= 0) return this.empty;
    const least = Math.max(0, min);
    return this.#intern(`x${least},${max}`, { kind: 'text', min: least, max });
  }

  /** @param name tells one from another; `make` is called once, when the expression is reached */
  lazy(name: string, make: () => Expression): Expression {
    let made: Expression | undefined;
    return this.#intern(`z${name}`, { kind: 'lazy', get: () => (made ??= make()) });
  }

  /**
   * So many tokens are enough to write the expression, none of them reaching beyond a part of it; Infinity: it cannot be written.
   * With a cost of n > 0, some token leads to what costs n - 1.
   */
  cost(expression: Expression): number {
    let cost = this.#costs.get(expression);
    if (cost === undefined) this.#costs.set(expression, (cost = this.#costOf(expression)));
    return cost;
  }

  #costOf(expression: Expression): number {
    switch (expression.kind) {
      case 'empty':
        return 0;
      case 'never':
        return Infinity;
      case 'byte':
        return this.vocabulary.singles.some((single, byte) => single && expression.members[byte]) ? 1 : Infinity;
      case 'literal':
        return expression.literal.costs[expression.at]!;
      case 'sequence':
        return this.cost(expression.first) + this.cost(expression.second);
      case 'choice':
        return Math.min(...expression.options.map((option) => this.cost(option)));
      case 'repeat': {
        // Also where none is needed: what is wrong inside comes out now, not in the middle of an answer.
        const cost = this.cost(expression.item);
        return expression.min && expression.min * cost;
      }
      case 'text':
        return this.textCost(expression.min);
      case 'lazy':
        return this.cost(expression.get());
    }
  }

  /** Fewest run tokens that have `characters` characters together. */
  textCost(characters: number): number {
    const { starts, longest } = this.vocabulary.runs;
    for (let n = this.#textCosts.length; n <= characters; n++) {
      let least = Infinity;
      for (let k = 1; k <= Math.min(n, longest); k++) {
        if (starts[k + 1]! > starts[k]!) least = Math.min(least, 1 + this.#textCosts[n - k]!);
      }
      this.#textCosts.push(least);
    }
    return characters > 0 ? this.#textCosts[characters]! : 0;
  }
}
