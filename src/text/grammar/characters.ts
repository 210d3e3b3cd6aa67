/** Characters inside JSON strings, as bytes. */
import type { Expression, Expressions } from './expression.ts';

/** Code points, both ends included. */
export type Range = readonly [number, number];

const LAST = 0x10ffff;
const REST: Range = [0x80, 0xbf];
const encoder = new TextEncoder();
const encode = (point: number): number[] => [...encoder.encode(String.fromCodePoint(point))];

/** Sorted, without overlaps and without surrogates, which no UTF-8 holds. */
export function normalized(ranges: readonly Range[]): Range[] {
  const out: [number, number][] = [];
  for (const [from, to] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const last = out.at(-1);
    if (last && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else out.push([from, to]);
  }
  return out
    .flatMap(([from, to]): Range[] => [
      [from, Math.min(to, 0xd7ff)],
      [Math.max(from, 0xe000), to],
    ])
    .filter(([from, to]) => from <= to);
}

export function complement(ranges: readonly Range[]): Range[] {
  const out: Range[] = [];
  let next = 0;
  for (const [from, to] of normalized(ranges)) {
    if (from > next) out.push([next, from - 1]);
    next = to + 1;
  }
  return normalized([...out, [next, LAST]].filter(([from, to]) => from! <= to!) as Range[]);
}

/** UTF-8 of code points whose encodings are equally long, from `low` to `high` in the order of bytes, which is theirs. */
function between(make: Expressions, low: readonly number[], high: readonly number[]): Expression {
  const [[a, ...lows], [b, ...highs]] = [low as [number, ...number[]], high as [number, ...number[]]];
  if (lows.length === 0) return make.bytes([a, b]);
  if (a === b) return make.sequence(make.bytes([a, a]), between(make, lows, highs));
  const least = lows.map(() => REST[0]);
  const most = lows.map(() => REST[1]);
  const from = lows.some((byte) => byte !== REST[0]) ? a + 1 : a;
  const to = highs.some((byte) => byte !== REST[1]) ? b - 1 : b;
  return make.choice(
    from > a ? make.sequence(make.bytes([a, a]), between(make, lows, most)) : make.never,
    from <= to ? make.sequence(make.bytes([from, to]), ...lows.map(() => make.bytes(REST))) : make.never,
    to < b ? make.sequence(make.bytes([b, b]), between(make, least, highs)) : make.never,
  );
}

const LENGTHS: readonly Range[] = [
  [0x80, 0x7ff],
  [0x800, 0xffff],
  [0x10000, LAST],
];

/** One character of the ranges, written as JSON.stringify does: each in one way, so that what is left out cannot come in by an escape. */
export function oneOf(make: Expressions, ranges: readonly Range[]): Expression {
  const clean = normalized(ranges);
  const has = (point: number): boolean => clean.some(([from, to]) => from <= point && point <= to);
  const points = Array.from({ length: 0x80 }, (_, point) => point).filter(has);
  const escaped = points.map((point) => JSON.stringify(String.fromCharCode(point)).slice(1, -1));
  const plain = points.filter((_, i) => escaped[i]!.length === 1).map((point): Range => [point, point]);
  const long = clean.flatMap(([from, to]) =>
    LENGTHS.map(([a, b]): Range => [Math.max(a, from), Math.min(b, to)]).filter(([a, b]) => a <= b),
  );
  return make.choice(
    plain.length > 0 ? make.bytes(...plain) : make.never,
    ...long.map(([from, to]) => between(make, encode(from), encode(to))),
    ...escaped.filter((escape) => escape.length > 1).map((escape) => make.literal(escape)),
  );
}

/** @returns [256] what is left of any character after its first byte; JSON's escapes all count, those of surrogates in pairs */
export function characterFollows(make: Expressions): (Expression | null)[] {
  const follows = new Array<Expression | null>(256).fill(null);
  const put = (from: number, to: number, rest: Expression): void => void follows.fill(rest, from, to + 1);
  const rest = make.bytes(REST);
  put(0x20, 0x7f, make.empty);
  put(0xc2, 0xdf, rest);
  put(0xe0, 0xef, make.sequence(rest, rest));
  put(0xe0, 0xe0, make.sequence(make.bytes([0xa0, 0xbf]), rest));
  put(0xed, 0xed, make.sequence(make.bytes([0x80, 0x9f]), rest));
  put(0xf0, 0xf4, make.sequence(rest, rest, rest));
  put(0xf0, 0xf0, make.sequence(make.bytes([0x90, 0xbf]), rest, rest));
  put(0xf4, 0xf4, make.sequence(make.bytes([0x80, 0x8f]), rest, rest));
  const of = (...characters: readonly string[]): Expression =>
    make.bytes(...characters.map((c): Range => [c.charCodeAt(0), c.charCodeAt(c.length - 1)]));
  const hex = of('09', 'af', 'AF');
  const lead = of('dd', 'DD');
  const unit = make.choice(
    make.sequence(of('09', 'ac', 'ef', 'AC', 'EF'), hex, hex, hex),
    make.sequence(lead, of('07'), hex, hex),
    make.sequence(lead, of('89', 'ab', 'AB'), hex, hex, make.literal('\\u'), lead, of('cf', 'CF'), hex, hex),
  );
  put(0x5c, 0x5c, make.choice(of(...'"\\/bfnrt'), make.sequence(make.literal('u'), unit)));
  follows[0x22] = null;
  return follows;
}
