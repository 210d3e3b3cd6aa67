/** JSON text: compact, with at most one blank after a comma and after the colon of a name. */
import { complement, oneOf, type Range } from './characters.ts';
import type { Expression, Expressions } from './expression.ts';
import { compilePattern } from './pattern.ts';
import { NUMBER } from './ranges.ts';
import { invariant } from '../../util/assert.ts';

/** Containers inside each other in JSON that no schema describes. */
export const MOST_NESTING = 12;

export interface Member {
  readonly name: string;
  readonly value: Expression;
  readonly required: boolean;
}

/** Members beside those that are named. */
export interface Others {
  readonly value: Expression;
  /** Their names, between the quotes; left out: any that no named member has. */
  readonly name?: Expression;
}

/** A comma, then `text`. */
const afterComma = (make: Expressions, text: string): Expression =>
  make.choice(make.literal(`,${text}`), make.literal(`, ${text}`));

const valueAfterColon = (make: Expressions, value: Expression): Expression =>
  make.sequence(make.optional(make.literal(' ')), value);

export const literalJson = (make: Expressions, value: unknown): Expression => make.literal(JSON.stringify(value));

export const quoted = (make: Expressions, content: Expression): Expression =>
  make.sequence(make.literal('"'), content, make.literal('"'));

/** Our own regular expressions, over digits and marks: inside strings and outside they are written alike. */
export const written = (make: Expressions, pattern: string): Expression =>
  compilePattern(`^${pattern}$`, make, (reason) => invariant(false, `pattern ${pattern} ${reason}`) as never);

/** The rest of a name that is none of `names` (all cut to where they still agree with what is written), and its quote. */
function otherName(make: Expressions, names: readonly (readonly string[])[]): Expression {
  const firsts = new Set(names.map((name) => name[0]).filter((c) => c !== undefined));
  const points = [...firsts].map((c): Range => [c.codePointAt(0)!, c.codePointAt(0)!]);
  return make.choice(
    names.some((name) => name.length === 0) ? make.never : make.literal('"'),
    make.sequence(oneOf(make, complement(points)), make.text(0, Infinity), make.literal('"')),
    ...[...firsts].map((c) => {
      const tails = names.filter((name) => name[0] === c).map((name) => name.slice(1));
      return make.sequence(oneOf(make, [[c.codePointAt(0)!, c.codePointAt(0)!]]), otherName(make, tails));
    }),
  );
}

/** The rest of a name after its first quote. */
function nameOfOthers(make: Expressions, members: readonly Member[], { name }: Others): Expression {
  if (!name && members.length > 0) {
    const names = members.map((member) => Array.from(member.name));
    return otherName(make, names);
  }
  return make.sequence(name ?? make.text(0, Infinity), make.literal('"'));
}

/**
 * Members in their order, then any number of others.
 * @param others null: there are none
 */
export function objectText(make: Expressions, members: readonly Member[], others: Others | null): Expression {
  const other =
    others &&
    make.sequence(nameOfOthers(make, members, others), make.literal(':'), valueAfterColon(make, others.value));
  const more = other ? make.repeat(make.sequence(afterComma(make, '"'), other), 0, Infinity) : make.empty;
  /** What may come when nothing is written but the brace, and when a member is. */
  let fresh = make.choice(
    make.literal('{}'),
    other ? make.sequence(make.literal('{"'), other, more, make.literal('}')) : make.never,
  );
  let going = make.sequence(more, make.literal('}'));
  for (const { name, value, required } of [...members].reverse()) {
    const text = `${JSON.stringify(name)}:`;
    const rest = make.sequence(valueAfterColon(make, value), going);
    const [first, later] = [make.sequence(make.literal(`{${text}`), rest), make.sequence(afterComma(make, text), rest)];
    fresh = required ? first : make.choice(first, fresh);
    going = required ? later : make.choice(later, going);
  }
  return fresh;
}

/**
 * @param prefix the first items, one each
 * @param item those after them; null: there are none
 */
export function arrayText(
  make: Expressions,
  prefix: readonly Expression[],
  item: Expression | null,
  min: number,
  max: number,
): Expression {
  const end = make.literal(']');
  const more = (written: number): Expression =>
    item ? make.repeat(make.sequence(afterComma(make, ''), item), min - written, max - written) : make.empty;
  const heads = prefix.slice(0, max);
  const isShort = item === null && heads.length < min;
  let going = isShort ? make.never : make.sequence(more(Math.max(1, heads.length)), end);
  for (let i = heads.length - 1; i > 0; i--) {
    const next = make.sequence(afterComma(make, ''), heads[i]!, going);
    going = i >= min ? make.choice(end, next) : next;
  }
  const first = heads[0] ?? (max > 0 ? item : null);
  const filled = first ? make.sequence(make.literal('['), first, going) : make.never;
  return min > 0 ? filled : make.choice(make.literal('[]'), filled);
}

export const numberText = (make: Expressions): Expression => written(make, NUMBER);

/** Any JSON, nested as deep as `depth`. */
export function anyText(make: Expressions, depth: number = MOST_NESTING): Expression {
  return make.lazy(`any${depth}`, () =>
    make.choice(
      quoted(make, make.text(0, Infinity)),
      numberText(make),
      ...[true, false, null].map((value) => literalJson(make, value)),
      ...(depth > 0 ? [anyObject(make, depth), anyArray(make, depth)] : []),
    ),
  );
}

export const anyObject = (make: Expressions, depth: number = MOST_NESTING): Expression =>
  objectText(make, [], { value: anyText(make, depth - 1) });
export const anyArray = (make: Expressions, depth: number = MOST_NESTING): Expression =>
  arrayText(make, [], anyText(make, depth - 1), 0, Infinity);
