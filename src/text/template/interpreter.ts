/**
 * The library's interpreter with two things added: each step is paid for, and strings keep track of where they came from. Its `evaluate`
 * is public and everything recurses through it, so the additions sit there; what makes a string from strings is done here, and any
 * other operation on user text makes user text.
 */
import { Environment, Interpreter } from '@huggingface/jinja';
import { invariant } from '../../util/assert.ts';
import { Budget, TemplateLimit, TEMPLATE_LIMITS } from './budget.ts';
import {
  array,
  fromTemplate,
  fromUser,
  hasUser,
  isArray,
  isNumber,
  isObject,
  isString,
  join,
  traced,
  TracedString,
  UserObject,
  type Piece,
  type Value,
} from './values.ts';

type Node = Parameters<Interpreter['evaluate']>[0];

/** Any node of the syntax tree, as far as it is looked at here. */
interface Syntax {
  readonly type: string;
  readonly value?: unknown;
  readonly operator?: { readonly value: string };
  readonly left?: Syntax;
  readonly right?: Syntax;
  readonly operand?: Syntax;
  readonly filter?: Syntax;
  readonly callee?: Syntax;
  readonly object?: Syntax;
  readonly property?: Syntax;
  readonly args?: readonly Syntax[];
  readonly key?: Syntax;
  readonly lhs?: Syntax;
  readonly iterable?: Syntax;
  readonly body?: readonly Syntax[];
  readonly defaultBlock?: readonly Syntax[];
}

/** A value in the place of an expression. */
const HELD = 'Held';
const held = (value: Value): Syntax => ({ type: HELD, value });

/** Filters whose arguments or pieces are looked at here. */
const FOLLOWED = new Set(['trim', 'join', 'replace', 'indent', 'tojson']);

interface Arguments {
  readonly nodes: readonly Syntax[];
  get(position: number, name: string): Value | undefined;
}

/** A loop under way: the library joins the texts of its rounds, we keep their pieces. */
interface LoopFrame {
  readonly loop: Syntax;
  readonly rounds: TracedString[];
}

const EMPTY = fromTemplate('');

/** Strings of the library's making, inside what an operation on user text gave, are user text. */
function claim(value: Value, depth = 0): Value {
  if (isString(value)) return value instanceof TracedString ? value : fromUser(value.value);
  if (depth < 4 && isArray(value)) return array(value.value.map((item) => claim(item, depth + 1)));
  return value;
}

export class TracingInterpreter extends Interpreter {
  readonly #budget: Budget;
  readonly #macroSteps: number;
  #loops: LoopFrame[] = [];

  /** @param sourceLength the library scans a macro's whole body when it meets it */
  constructor(globals: Environment, budget: Budget, sourceLength: number) {
    super(globals);
    this.#budget = budget;
    this.#macroSteps = 10 + sourceLength / 32;
    // The library's blocks all go through this method of its prototype; it is private in TypeScript only.
    invariant('evaluateBlock' in Interpreter.prototype, 'the template library has changed: no evaluateBlock');
    Object.defineProperty(this, 'evaluateBlock', {
      value: (statements: readonly Syntax[], scope: Environment) => this.#block(statements, scope),
    });
  }

  override evaluate(node: Node, scope: Environment): Value {
    this.#budget.spend(1);
    if (!node) return super.evaluate(node, scope);
    const value = this.#dispatch(node, scope);
    if (isString(value)) {
      this.#budget.text(value.value.length, 512);
      return traced(value);
    }
    if (isArray(value)) {
      this.#budget.list(value.value.length);
      this.#budget.spend(value.value.length / 512);
    }
    return value;
  }

  #dispatch(node: Syntax, scope: Environment): Value {
    switch (node.type) {
      case HELD:
        return node.value as Value;
      case 'BinaryExpression':
        return this.#binary(node, scope);
      case 'FilterExpression':
        return this.#filter(this.#value(node.operand, scope), node.filter, scope);
      case 'FilterStatement':
        return this.#filter(this.#block(node.body ?? [], scope), node.filter, scope);
      case 'CallExpression':
        return this.#call(node, scope);
      case 'MemberExpression':
        return this.#member(node, scope);
      case 'ObjectLiteral':
        return this.#object(node, scope);
      case 'For':
        return this.#for(node, scope);
      case 'Macro':
      case 'CallStatement':
        this.#budget.spend(this.#macroSteps);
        return this.#super(node, scope);
      case 'Break':
      case 'Continue':
        this.#budget.spend(40); // an exception with its stack
        return this.#super(node, scope);
      case 'Identifier': {
        const value = this.#super(node, scope);
        if (value.type === 'UndefinedValue') this.#budget.spend(20); // so is a failed look-up
        return value;
      }
      default:
        return this.#super(node, scope);
    }
  }

  #super(node: Syntax, scope: Environment): Value {
    return super.evaluate(node, scope);
  }

  #value(node: Syntax | undefined, scope: Environment): Value {
    return this.evaluate(node, scope);
  }

  /** The text of a block: what its statements give, joined. */
  #block(statements: readonly Syntax[], scope: Environment): TracedString {
    this.#budget.spend(1);
    const pieces: Piece[] = [];
    for (const statement of statements) {
      const value = this.#value(statement, scope);
      if (value.type === 'NullValue' || value.type === 'UndefinedValue') continue;
      if (value instanceof TracedString) pieces.push(...value.pieces);
      else pieces.push({ text: value.toString(), user: hasUser(value) });
    }
    const text = this.#made(new TracedString(pieces));
    const frame = this.#loops.at(-1);
    if (frame && (frame.loop.body === statements || frame.loop.defaultBlock === statements)) frame.rounds.push(text);
    return text;
  }

  #made(text: TracedString): TracedString {
    this.#budget.spend(text.pieces.length / 8);
    this.#budget.text(text.value.length, 64);
    return text;
  }

  #for(node: Syntax, scope: Environment): Value {
    const source = node.iterable;
    const filtered = source?.type === 'SelectExpression';
    const items = this.#value(filtered ? source.lhs : source, scope);
    this.#budget.spend(4 * (isArray(items) ? items.value.length : 1)); // two scopes and a loop object each
    const loop = { ...node, iterable: filtered ? { ...source, lhs: held(items) } : held(items) };
    const frame: LoopFrame = { loop, rounds: [] };
    this.#loops.push(frame);
    try {
      const plain = this.#super(loop, scope);
      const text = join(frame.rounds, EMPTY);
      invariant(isString(plain) && plain.value === text.value, 'a loop of a template gave other text than its rounds');
      return this.#made(text);
    } finally {
      this.#loops = this.#loops.slice(0, this.#loops.lastIndexOf(frame));
    }
  }

  #binary(node: Syntax, scope: Environment): Value {
    const operator = node.operator?.value;
    if (operator === 'and' || operator === 'or') return this.#super(node, scope);
    const left = this.#value(node.left, scope);
    const right = this.#value(node.right, scope);
    if (operator === 'in' || operator === 'not in') this.#payForSearch(left, right);
    if (operator === '+' && isArray(left) && isArray(right)) {
      this.#budget.list(left.value.length + right.value.length);
      this.#budget.spend((left.value.length + right.value.length) / 8);
    }
    const concatenates = (operator === '+' || operator === '~') && (isString(left) || isString(right));
    if (concatenates) this.#budget.text(this.#length(left) + this.#length(right), 64);
    const value = this.#super({ ...node, left: held(left), right: held(right) }, scope);
    if (!isString(value)) return value;
    const pieces = [left, right].flatMap((side): readonly Piece[] =>
      isString(side) ? traced(side).pieces : [{ text: String(side.value), user: hasUser(side) }],
    );
    const text = new TracedString(pieces);
    if (text.value === value.value) return this.#made(text);
    return hasUser(left) || hasUser(right) ? fromUser(value.value) : value;
  }

  #length(value: Value): number {
    return isString(value) ? value.value.length : 0;
  }

  #payForSearch(needle: Value, place: Value): void {
    if (isArray(place)) this.#budget.spend(place.value.length / 8);
    if (isString(place) && isString(needle))
      this.#budget.spend((place.value.length * (1 + needle.value.length / 64)) / 512);
  }

  #filter(operand: Value, filter: Syntax | undefined, scope: Environment): Value {
    const name = filter?.type === 'CallExpression' ? filter.callee?.value : filter?.value;
    if (isArray(operand)) this.#budget.spend(operand.value.length / 4);
    if (!FOLLOWED.has(String(name))) return this.#plainFilter(operand, filter, scope);
    const args = this.#arguments(filter?.args ?? [], scope);
    if (name === 'trim' && isString(operand)) {
      const characters = args.get(0, 'chars');
      return this.#made(traced(operand).strip('both', isString(characters) ? characters.value : null));
    }
    if (name === 'join' && isArray(operand))
      return this.#join(operand.value, args.get(0, 'd') ?? args.get(0, 'separator'));
    if (name === 'replace' && isString(operand))
      this.#payForReplace(operand.value, args.get(0, 'old'), args.get(1, 'new'));
    if (name === 'indent' || name === 'tojson') {
      const width = args.get(0, name === 'indent' ? 'width' : 'indent');
      if (isNumber(width) && width.value > TEMPLATE_LIMITS.indent) {
        throw new TemplateLimit('indent', `indents by more than ${TEMPLATE_LIMITS.indent}`);
      }
    }
    const called = filter?.type === 'CallExpression' ? { ...filter, args: args.nodes } : filter;
    return this.#plainFilter(operand, called, scope);
  }

  #plainFilter(operand: Value, filter: Syntax | undefined, scope: Environment): Value {
    const value = this.#super({ type: 'FilterExpression', operand: held(operand), ...(filter && { filter }) }, scope);
    return this.#derived(value, operand);
  }

  /** Arguments evaluated once: to look at, and as nodes to hand on. */
  #arguments(args: readonly Syntax[], scope: Environment): Arguments {
    const positional: Value[] = [];
    const named = new Map<unknown, Value>();
    const nodes = args.map((arg) => {
      if (arg.type.endsWith('SpreadExpression')) return arg;
      const keyword = arg.type === 'KeywordArgumentExpression';
      const value = this.#value(keyword ? (arg.value as Syntax) : arg, scope);
      if (!keyword) return (positional.push(value), held(value));
      named.set(arg.key?.value, value);
      return { ...arg, value: held(value) };
    });
    return { nodes, get: (position, name) => named.get(name) ?? positional[position] };
  }

  /** What came out of an operation that is not followed piece by piece. */
  #derived(value: Value, ...sources: readonly Value[]): Value {
    const made = value instanceof TracedString || !(isString(value) || isArray(value) || isObject(value));
    if (made) return value;
    if (isString(value)) this.#budget.text(value.value.length, 64);
    return sources.some((source) => hasUser(source)) ? claim(value) : value;
  }

  #join(items: readonly Value[], separator: Value | undefined): Value {
    const between = isString(separator) ? traced(separator) : EMPTY;
    const parts = items.map((item) =>
      isString(item)
        ? traced(item)
        : new TracedString([{ text: item.value === null ? '' : String(item.value), user: hasUser(item) }]),
    );
    const length = parts.reduce((sum, part) => sum + part.value.length + between.value.length, 0);
    this.#budget.text(length, 64);
    return this.#made(join(parts, between));
  }

  #payForReplace(text: string, old: Value | undefined, next: Value | undefined): void {
    if (!isString(old) || !isString(next) || !old.value) return;
    let count = 0;
    for (let at = text.indexOf(old.value); at >= 0; at = text.indexOf(old.value, at + old.value.length)) count++;
    this.#budget.spend(count);
    this.#budget.text(text.length + count * next.value.length, 64);
  }

  /** A method or a function. What a method of user data makes is user data. */
  #call(node: Syntax, scope: Environment): Value {
    const { callee } = node;
    if (callee?.type !== 'MemberExpression') return this.#super(node, scope);
    const object = this.#value(callee.object, scope);
    const args = this.#arguments(node.args ?? [], scope);
    const method = callee.property?.value;
    if (isString(object)) {
      this.#budget.text(object.value.length, 64);
      if (method === 'replace') this.#payForReplace(object.value, args.get(0, 'old'), args.get(1, 'new'));
      if (method === 'split') this.#payForSplit(traced(object), args.get(0, 'sep'), args.get(1, 'maxsplit'));
    }
    const call = { ...node, callee: { ...callee, object: held(object) }, args: args.nodes };
    return this.#derived(this.#super(call, scope), object);
  }

  #payForSplit(text: TracedString, separator: Value | undefined, most: Value | undefined): void {
    const limit = isNumber(most) && most.value >= 0 ? most.value : TEMPLATE_LIMITS.list + 1;
    const cut = isString(separator) ? separator.value : /\s+/;
    const parts = cut === '' ? 1 : Math.min(limit + 1, text.value.split(cut, TEMPLATE_LIMITS.list + 1).length);
    this.#budget.list(parts);
    this.#budget.spend(parts * (1 + text.pieces.length / 64));
  }

  #member(node: Syntax, scope: Environment): Value {
    const object = this.#value(node.object, scope);
    if (isString(object)) this.#budget.text(object.value.length, 64);
    const value = this.#super({ ...node, object: held(object) }, scope);
    return isString(object) ? this.#derived(value, object) : value;
  }

  /** Keys lose their provenance inside the library: an object with user text among its keys is a user's object. */
  #object(node: Syntax, scope: Environment): Value {
    const pairs = [...(node.value as Map<Syntax, Syntax>)].map(
      ([key, value]) => [held(this.#value(key, scope)), held(this.#value(value, scope))] as const,
    );
    const object = this.#super({ ...node, value: new Map(pairs) }, scope);
    const foreign = isObject(object) && pairs.some(([key]) => hasUser(key.value as Value));
    return foreign ? new UserObject(object.value) : object;
  }
}
