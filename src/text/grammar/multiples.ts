/** Integers that a whole number divides, between bounds: their digits, by the remainder that those so far leave. */
import type { Expression, Expressions } from './expression.ts';

/** Remainders that are told apart: each is an expression for each number of digits. */
const MOST_REMAINDERS = 300;

/** Digits `from` to `to`, each of any value below ten where it is null. */
interface Digits {
  readonly left: number;
  readonly remainder: number;
  /** What the digits must not be below, as long as those before are as low as they may be. */
  readonly low: string | null;
  readonly high: string | null;
}

class Multiples {
  readonly #make: Expressions;
  readonly #step: number;
  readonly #known = new Map<string, Expression>();

  constructor(make: Expressions, step: number) {
    this.#make = make;
    this.#step = step;
  }

  /** 1 <= from */
  between(from: number, to: number): Expression {
    const lengths: Expression[] = [];
    for (let low = from; low <= to;) {
      const high = Math.min(to, Number('9'.repeat(String(low).length)));
      lengths.push(this.#digits({ left: String(low).length, remainder: 0, low: String(low), high: String(high) }));
      low = high + 1;
    }
    return this.#make.choice(...lengths);
  }

  #digits(digits: Digits): Expression {
    const { left, remainder, low, high } = digits;
    const key = `${left} ${remainder} ${low} ${high}`;
    let known = this.#known.get(key);
    if (!known) this.#known.set(key, (known = this.#make.choice(...this.#options(digits))));
    return known;
  }

  /** Digits that lead to the same rest are one set. */
  #options({ left, remainder, low, high }: Digits): Expression[] {
    if (left === 0) return remainder === 0 ? [this.#make.empty] : [];
    const byRest = new Map<Expression, (readonly [number, number])[]>();
    const [least, most] = [Number(low?.[0] ?? 0), Number(high?.[0] ?? 9)];
    for (let digit = least; digit <= most; digit++) {
      const rest = this.#digits({
        left: left - 1,
        remainder: (remainder * 10 + digit) % this.#step,
        low: low !== null && digit === least ? low.slice(1) : null,
        high: high !== null && digit === most ? high.slice(1) : null,
      });
      if (rest !== this.#make.never) byRest.set(rest, [...(byRest.get(rest) ?? []), [0x30 + digit, 0x30 + digit]]);
    }
    return [...byRest].map(([rest, bytes]) => this.#make.sequence(this.#make.bytes(...bytes), rest));
  }
}

/** @returns why multiples of the divisor cannot be written; null: they can */
export function divisorFault(divisor: unknown): string | null {
  const isWhole = Number.isSafeInteger(divisor) && Number(divisor) > 0;
  if (isWhole && Number(String(divisor).replace(/0+$/, '')) <= MOST_REMAINDERS) return null;
  return `must be a whole number from 1 to ${MOST_REMAINDERS}, zeros at its end not counted`;
}

/** @param low, high both included; integers of at most 15 digits */
export function multiplesText(make: Expressions, divisor: number, low: number, high: number): Expression {
  const [zeros] = /0*$/.exec(String(divisor))!;
  const scale = 10 ** zeros.length;
  const multiples = new Multiples(make, divisor / scale);
  const signed = (sign: string, from: number, to: number): Expression => {
    const digits = multiples.between(Math.ceil(Math.max(1, from) / scale), Math.floor(to / scale));
    return digits === make.never ? make.never : make.sequence(make.literal(sign), digits, make.literal(zeros));
  };
  return make.choice(
    low <= 0 && high >= 0 ? make.literal('0') : make.never,
    signed('', low, high),
    signed('-', -high, -low),
  );
}
