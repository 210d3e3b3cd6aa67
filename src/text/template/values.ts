/**
 * Values of the template language with provenance: every string knows which of its characters came from outside the checkpoint.
 * The library (@huggingface/jinja) does not export its value classes, so they are taken from values that it makes.
 */
import { Environment, type Interpreter } from '@huggingface/jinja';

export type Value = ReturnType<Interpreter['evaluate']>;
export type StringValue = Extract<Value, { value: string }>;
export type ArrayValue = Extract<Value, { value: Value[] }>;
export type ObjectValue = Extract<Value, { value: Map<string, Value>; items(): ArrayValue }>;
export type FunctionValue = Extract<Value, { value: (args: Value[], scope: Environment) => Value }>;

/** A stretch of text; `user` when it came from messages, tools or variables, not from the checkpoint. */
export interface Piece {
  readonly text: string;
  readonly user: boolean;
}

const sample = (value: unknown): unknown => new Environment().set('sample', value).constructor;
const StringBase = sample('') as new (value: string) => StringValue;
const ArrayBase = sample([]) as new (value: Value[]) => ArrayValue;
const ObjectBase = sample({}) as new (value: Map<string, Value>) => ObjectValue;
const FunctionBase = sample(() => null) as new (call: (args: Value[], scope: Environment) => Value) => FunctionValue;

export const isString = (value: Value | undefined): value is StringValue => value instanceof StringBase;
export const isArray = (value: Value | undefined): value is ArrayValue => value instanceof ArrayBase;
export const isObject = (value: Value | undefined): value is ObjectValue => value instanceof ObjectBase;
export const isFunction = (value: Value | undefined): value is FunctionValue => value instanceof FunctionBase;
export const isNumber = (value: Value | undefined): value is Extract<Value, { value: number }> =>
  typeof value?.value === 'number';

/** Numbers, booleans, null and undefined: what carries no text. */
export const scalar = (value: number | boolean | null | undefined): Value => new Environment().set('scalar', value);
export const array = (items: Value[]): ArrayValue => new ArrayBase(items);
export const callable = (call: (args: Value[], scope: Environment) => Value): FunctionValue => new FunctionBase(call);

/** Neighbours of one provenance become one piece; empty ones go. */
function joined(pieces: Iterable<Piece>): Piece[] {
  const out: Piece[] = [];
  for (const piece of pieces) {
    const last = out.at(-1);
    if (!piece.text) continue;
    if (last?.user === piece.user) out[out.length - 1] = { text: last.text + piece.text, user: piece.user };
    else out.push(piece);
  }
  return out;
}

/** Python's white space, which is not JavaScript's. */
const BLANKS = new Set(
  '\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000',
);
const isBlank = (c: string): boolean => BLANKS.has(c);

/** A string with its pieces. Its `value` is an ordinary string, so the library compares, tests and measures it as always. */
export class TracedString extends StringBase {
  readonly pieces: readonly Piece[];
  #methods: Map<string, Value> | null = null;

  constructor(pieces: Iterable<Piece>) {
    const list = joined(pieces);
    super(list.length === 1 ? list[0]!.text : list.map((p) => p.text).join(''));
    this.pieces = list;
  }

  get hasUser(): boolean {
    return this.pieces.some((p) => p.user);
  }

  /** UTF-16 units [start, end). */
  cut(start: number, end: number): TracedString {
    const out: Piece[] = [];
    let at = 0;
    for (const { text, user } of this.pieces) {
      out.push({ text: text.slice(Math.max(0, start - at), Math.max(0, end - at)), user });
      at += text.length;
    }
    return new TracedString(out);
  }

  map(change: (text: string) => string): TracedString {
    return new TracedString(this.pieces.map(({ text, user }) => ({ text: change(text), user })));
  }

  /** @param characters what to take away; Python's white space by default */
  strip(sides: 'both' | 'left' | 'right', characters: string | null): TracedString {
    const set = characters === null ? null : new Set(characters);
    const goes = (c: string): boolean => (set ? set.has(c) : isBlank(c));
    const text = this.value;
    let start = 0;
    let end = text.length;
    if (sides !== 'right') while (start < end && goes(text[start]!)) start++;
    if (sides !== 'left') while (end > start && goes(text[end - 1]!)) end--;
    return this.cut(start, end);
  }

  split(separator: string | null, most: number): TracedString[] {
    const out: TracedString[] = [];
    const text = this.value;
    let from = 0;
    if (separator === null) {
      while (from < text.length && isBlank(text[from]!)) from++;
      while (from < text.length) {
        let to = from;
        if (out.length === most) to = text.length;
        while (to < text.length && !isBlank(text[to]!)) to++;
        out.push(this.cut(from, to));
        while (to < text.length && isBlank(text[to]!)) to++;
        from = to;
      }
      return out;
    }
    if (separator === '') throw new Error('empty separator');
    for (let at = text.indexOf(separator); at >= 0 && out.length !== most; at = text.indexOf(separator, from)) {
      out.push(this.cut(from, at));
      from = at + separator.length;
    }
    out.push(this.cut(from, text.length));
    return out;
  }

  /** @param most how many times; negative for all */
  replace(old: string, next: TracedString, most: number): TracedString {
    if (old === '') throw new Error('replace() of an empty string is not supported');
    return join(this.split(old, most), next);
  }

  override get builtins(): Map<string, Value> {
    return (this.#methods ??= methodsOf(this));
  }
}

export const fromTemplate = (text: string): TracedString => new TracedString([{ text, user: false }]);
export const fromUser = (text: string): TracedString => new TracedString([{ text, user: true }]);

export function join(items: readonly TracedString[], separator: TracedString): TracedString {
  return new TracedString(items.flatMap((item, i) => (i ? [...separator.pieces, ...item.pieces] : item.pieces)));
}

/** An object given by the caller: its keys are user text as well. */
export class UserObject extends ObjectBase {
  override keys(): ArrayValue {
    return array([...this.value.keys()].map(fromUser));
  }

  override items(): ArrayValue {
    return array([...this.value].map(([key, value]) => array([fromUser(key), value])));
  }
}

/** Whether user text can be seen in the value. Deep structures count as user text without a look. */
export function hasUser(value: Value | undefined, depth = 0): boolean {
  if (value === undefined) return false;
  if (value instanceof TracedString) return value.hasUser;
  if (value instanceof UserObject || depth > 32) return true;
  if (isArray(value)) return value.value.some((item) => hasUser(item, depth + 1));
  if (value.value instanceof Map) return [...value.value.values()].some((item) => hasUser(item, depth + 1));
  return false;
}

/** Plain JSON to values. @param depth nesting left @throws RangeError when it is too deep */
export function userValue(input: unknown, depth = 64): Value {
  if (depth === 0) throw new RangeError('nested too deeply');
  if (typeof input === 'string') return fromUser(input);
  if (typeof input === 'number' || typeof input === 'boolean' || input === null || input === undefined) {
    return scalar(input);
  }
  if (Array.isArray(input)) return array(input.map((item) => userValue(item, depth - 1)));
  if (typeof input !== 'object') throw new TypeError(`a ${typeof input} cannot be given to a template`);
  const entries = Object.entries(input).filter(([, value]) => value !== undefined);
  return new UserObject(new Map(entries.map(([key, value]) => [key, userValue(value, depth - 1)])));
}

const optionalText = (value: Value | undefined): string | null => (isString(value) ? value.value : null);
const named = (args: readonly Value[], name: string): Value | undefined => {
  const last = args.at(-1);
  return last?.type === 'KeywordArgumentsValue' && last.value instanceof Map ? last.value.get(name) : undefined;
};

/** Python's string methods that keep track of pieces; the names are the library's list. */
function methodsOf(self: TracedString): Map<string, Value> {
  const text = self.value;
  const method = (call: (args: Value[]) => Value): FunctionValue => callable((args) => call(args));
  const affix = (test: (affix: string) => boolean) =>
    method(([affixes]) => {
      const list = isArray(affixes) ? affixes.value : [affixes];
      return scalar(
        list.some((item) => {
          if (!isString(item)) throw new Error('startswith() and endswith() take a string or a tuple of strings');
          return test(item.value);
        }),
      );
    });
  return new Map<string, Value>([
    ['upper', method(() => self.map((t) => t.toUpperCase()))],
    ['lower', method(() => self.map((t) => t.toLowerCase()))],
    ['title', method(() => self.map((t) => t.replace(/\p{L}+/gu, capitalized)))],
    [
      'capitalize',
      method(
        () =>
          new TracedString(self.pieces.map((p, i) => ({ ...p, text: i ? p.text.toLowerCase() : capitalized(p.text) }))),
      ),
    ],
    ['length', scalar(Array.from(text).length)],
    ['strip', method(([characters]) => self.strip('both', optionalText(characters)))],
    ['lstrip', method(([characters]) => self.strip('left', optionalText(characters)))],
    ['rstrip', method(([characters]) => self.strip('right', optionalText(characters)))],
    ['startswith', affix((a) => text.startsWith(a))],
    ['endswith', affix((a) => text.endsWith(a))],
    [
      'split',
      method((args) => {
        const most = named(args, 'maxsplit') ?? args[1];
        const separator = named(args, 'sep') ?? args[0];
        return array(self.split(optionalText(separator), isNumber(most) ? most.value : -1));
      }),
    ],
    [
      'replace',
      method((args) => {
        const [old, next] = args;
        if (!isString(old) || !isString(next)) throw new Error('replace() arguments must be strings');
        const most = named(args, 'count') ?? args[2];
        return self.replace(old.value, traced(next), isNumber(most) ? most.value : -1);
      }),
    ],
  ]);
}

const capitalized = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1).toLowerCase();

/** A string of the library's own making is the template's. */
export const traced = (value: StringValue): TracedString =>
  value instanceof TracedString ? value : fromTemplate(value.value);
