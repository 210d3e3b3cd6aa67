/**
 * Runs an expression over symbols. What may still come is a set of stacks, each an expression on top of what follows it; stacks with equal
 * tops are kept as one with the union of what follows (a graph-structured stack), so that ambiguous schemas stay small. A stack that the
 * vocabulary cannot complete is never made, so in every state some token leads closer to the end.
 */
import type { Expression, Expressions } from './expression.ts';

/** A set of stacks. */
interface Stacks {
  readonly id: number;
  readonly frames: readonly Frame[];
  /** Nothing more needs to come. */
  readonly isEnd: boolean;
  /** Of the cheapest. */
  readonly cost: number;
}

/** An expression, then any of the stacks below. */
interface Frame {
  readonly id: number;
  readonly top: Expression;
  readonly below: Stacks;
  readonly cost: number;
}

/** A set of stacks whose tops are bytes, literals or text. */
export interface State extends Stacks {
  /** [256] by byte, as far as known; null: not allowed. */
  readonly next: (State | null | undefined)[];
}

/** Beyond it, states are forgotten: some ten megabytes. */
const MOST_STATES = 5000;

const costOf = (frames: readonly Frame[], isEnd: boolean): number =>
  isEnd ? 0 : frames.reduce((least, frame) => Math.min(least, frame.cost), Infinity);

export class Automaton {
  readonly make: Expressions;
  readonly start: State | null;
  #frames = new Map<string, Frame>();
  #stacks = new Map<string, Stacks>();
  #states = new Map<string, State>();
  #ids = 0;

  constructor(make: Expressions, root: Expression) {
    this.make = make;
    this.start = this.#close([this.#frame(root, this.#unite([], true))]);
  }

  #frame(top: Expression, below: Stacks): Frame {
    const key = `${top.id},${below.id}`;
    let frame = this.#frames.get(key);
    if (!frame) {
      frame = { id: this.#ids++, top, below, cost: this.make.cost(top) + below.cost };
      this.#frames.set(key, frame);
    }
    return frame;
  }

  /** Frames with equal tops become one. */
  #merge(frames: readonly Frame[]): Frame[] {
    const byTop = new Map<Expression, Frame>();
    for (const frame of frames) {
      const other = byTop.get(frame.top);
      if (other === frame) continue;
      if (!other) byTop.set(frame.top, frame);
      else {
        const [a, b] = [other.below, frame.below];
        byTop.set(frame.top, this.#frame(frame.top, this.#unite([...a.frames, ...b.frames], a.isEnd || b.isEnd)));
      }
    }
    return [...byTop.values()].sort((a, b) => a.id - b.id);
  }

  #unite(frames: readonly Frame[], isEnd: boolean): Stacks {
    const merged = this.#merge(frames);
    const key = `${isEnd}${merged.map((frame) => frame.id).join()}`;
    let stacks = this.#stacks.get(key);
    if (!stacks) {
      stacks = { id: this.#ids++, frames: merged, isEnd, cost: costOf(merged, isEnd) };
      this.#stacks.set(key, stacks);
    }
    return stacks;
  }

  /** Takes tops apart until each begins with a symbol. */
  #close(frames: readonly Frame[]): State | null {
    const open = this.#merge(frames);
    const seen = new Set<Frame>();
    const closed: Frame[] = [];
    let isEnd = false;
    for (let frame = open.pop(); frame; frame = open.pop()) {
      if (frame.cost === Infinity || seen.has(frame)) continue;
      seen.add(frame);
      const { top, below } = frame;
      if (top.kind === 'byte' || top.kind === 'literal' || top.kind === 'text') closed.push(frame);
      if (top.kind === 'empty' || ((top.kind === 'text' || top.kind === 'repeat') && top.min === 0)) {
        isEnd ||= below.isEnd;
        open.push(...below.frames);
      }
      open.push(...this.#opened(top, below));
    }
    return closed.length > 0 || isEnd ? this.#state(closed, isEnd) : null;
  }

  #opened(top: Expression, below: Stacks): Frame[] {
    switch (top.kind) {
      case 'sequence':
        return [this.#frame(top.first, this.#unite([this.#frame(top.second, below)], false))];
      case 'choice':
        return top.options.map((option) => this.#frame(option, below));
      case 'repeat': {
        const more = this.make.repeat(top.item, top.min - 1, top.max - 1);
        return [this.#frame(top.item, this.#unite([this.#frame(more, below)], false))];
      }
      case 'lazy':
        return [this.#frame(top.get(), below)];
      default:
        return [];
    }
  }

  #state(closed: readonly Frame[], isEnd: boolean): State {
    const frames = this.#merge(closed);
    const key = `${isEnd}${frames.map((frame) => frame.id).join()}`;
    let state = this.#states.get(key);
    if (!state) {
      state = { id: this.#ids++, frames, isEnd, cost: costOf(frames, isEnd), next: new Array<undefined>(256) };
      this.#states.set(key, state);
    }
    return state;
  }

  #after({ top, below }: Frame, symbol: number): Frame | null {
    switch (top.kind) {
      case 'byte':
        return top.members[symbol] ? this.#frame(this.make.empty, below) : null;
      case 'literal':
        return top.literal.symbols[top.at] === symbol ? this.#frame(this.make.tail(top), below) : null;
      case 'text': {
        const rest = this.make.follows[symbol];
        if (!rest) return null;
        const more = this.#frame(this.make.text(top.min - 1, top.max - 1), below);
        return rest === this.make.empty ? more : this.#frame(rest, this.#unite([more], false));
      }
      default:
        return null;
    }
  }

  /** @returns null where the symbol may not come */
  step(state: State, symbol: number): State | null {
    const known = state.next[symbol];
    if (known !== undefined) return known;
    const after: Frame[] = [];
    for (const frame of state.frames) {
      const rest = this.#after(frame, symbol);
      if (rest) after.push(rest);
    }
    const next = after.length > 0 ? this.#close(after) : null;
    if (symbol < 256) state.next[symbol] = next;
    return next;
  }

  /** Forgets states when there are many; `state` stays usable, and equal ones may exist beside it from then on. */
  tidy(state: State): void {
    if (this.#states.size <= MOST_STATES) return;
    this.#frames = new Map();
    this.#stacks = new Map();
    this.#states = new Map();
    this.start?.next.fill(undefined);
    state.next.fill(undefined);
  }
}
