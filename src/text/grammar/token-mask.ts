/** Which tokens may come next, for each state of a constraint's automaton. */
import { InvalidRequest } from '../../errors.ts';
import { invariant } from '../../util/assert.ts';
import { Automaton, type State } from './automaton.ts';
import { compile } from './compile.ts';
import type { Constraint, MaskOptions, TokenMask } from './constraint.ts';
import { Expressions } from './expression.ts';
import type { Trie } from './trie.ts';
import { FIRST_ADDED, setBit, wordsOf, type Vocabulary } from './vocabulary.ts';

interface Allowed {
  readonly bits: Uint32Array;
  /** The greatest closing cost after one of the tokens. */
  readonly worst: number;
}

/** 256 masks of 152 k tokens take 5 MB. */
const MOST_MASKS = 256;
/** Constraints whose automata a vocabulary keeps. */
const MOST_CONSTRAINTS = 8;

/** Keeps the `most` entries that were used last. */
class Recent<K, V> {
  readonly #entries = new Map<K, V>();
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  get(key: K, make: () => V): V {
    const value = this.#entries.get(key) ?? make();
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size > this.#most) this.#entries.delete(this.#entries.keys().next().value as K);
    return value;
  }
}

class Masks {
  readonly automaton: Automaton;
  readonly vocabulary: Vocabulary;
  readonly #path: State[] = [];
  readonly #known = new Recent<State, Allowed>(MOST_MASKS);

  constructor(automaton: Automaton) {
    this.automaton = automaton;
    this.vocabulary = automaton.make.vocabulary;
  }

  /** @param budget tokens that may still come, Infinity without a limit */
  bits(state: State, budget: number): Uint32Array {
    const plain = this.#known.get(state, () => this.#allowed(state, Infinity));
    return plain.worst < budget ? plain.bits : this.#allowed(state, budget - 1).bits;
  }

  /** Tokens after which at most `most` more are needed. */
  #allowed(state: State, most: number): Allowed {
    const { vocabulary } = this;
    const bits = new Uint32Array(wordsOf(vocabulary.size));
    const isRunning = onlyTextHoldsRuns(state);
    const costs = [isRunning ? this.#runs(state, most, bits) : 0];
    costs.push(this.#walk(isRunning ? vocabulary.rest : vocabulary.all, state, most, bits));
    for (const { top } of state.frames) {
      const symbol = top.kind === 'literal' ? top.literal.symbols[top.at]! : 0;
      const cost = symbol < FIRST_ADDED ? Infinity : this.automaton.step(state, symbol)!.cost;
      if (cost === Infinity || cost > most) continue;
      setBit(bits, symbol - FIRST_ADDED);
      costs.push(cost);
    }
    if (state.isEnd) for (const id of vocabulary.endTokens) setBit(bits, id);
    return { bits, worst: Math.max(...costs) };
  }

  /** Tokens of n characters lead to the same costs, so they are allowed together. */
  #runs(state: State, most: number, bits: Uint32Array): number {
    const { runs } = this.vocabulary;
    const costs = Array.from({ length: runs.longest }, (_, i) => this.#costAfterRun(state, i + 1));
    const fits = costs.map((cost) => cost < Infinity && cost <= most);
    if (fits.every(Boolean)) bits.set(runs.mask);
    else {
      fits.forEach((fit, i) => {
        if (fit) for (let at = runs.starts[i + 1]!; at < runs.starts[i + 2]!; at++) setBit(bits, runs.ids[at]!);
      });
    }
    return costs.reduce((worst, cost, i) => (fits[i] ? Math.max(worst, cost) : worst), 0);
  }

  #costAfterRun(state: State, characters: number): number {
    let least = Infinity;
    for (const { top, below } of state.frames) {
      if (top.kind !== 'text' || characters > top.max) continue;
      least = Math.min(least, this.automaton.make.textCost(top.min - characters) + below.cost);
    }
    return least;
  }

  /** @returns the greatest cost after a token that it set */
  #walk({ bytes, depths, skips, tokens, twins }: Trie, start: State, most: number, bits: Uint32Array): number {
    const { automaton } = this;
    const path = this.#path;
    path[0] = start;
    let worst = 0;
    for (let node = 0; node < bytes.length;) {
      const depth = depths[node]!;
      const state = automaton.step(path[depth]!, bytes[node]!);
      if (!state) {
        node = skips[node]!;
        continue;
      }
      path[depth + 1] = state;
      if (tokens[node]! >= 0 && state.cost <= most) {
        for (let id = tokens[node]!; id >= 0; id = twins[id]!) setBit(bits, id);
        if (state.cost > worst) worst = state.cost;
      }
      node++;
    }
    return worst;
  }
}

/** Whether a token of plain characters can only go into text of the state. */
function onlyTextHoldsRuns(state: State): boolean {
  const isRunByte = (byte: number): boolean => byte >= 0x20 && byte !== 0x22 && byte !== 0x5c && byte < FIRST_ADDED;
  const others = state.frames.map((frame) => frame.top).filter((top) => top.kind !== 'text');
  if (others.length === state.frames.length) return false;
  return !others.some((top) =>
    top.kind === 'literal'
      ? isRunByte(top.literal.symbols[top.at]!)
      : top.kind === 'byte' && top.members.some((member, byte) => member && isRunByte(byte)),
  );
}

class ConstraintMask implements TokenMask {
  readonly #masks: Masks;
  readonly #tokenBytes: (id: number) => Iterable<number>;
  #state: State;
  #budget: number;
  #ended = false;
  #bits: Uint32Array | null = null;

  constructor(masks: Masks, start: State, budget: number, symbolsOf: (id: number) => Iterable<number>) {
    this.#masks = masks;
    this.#state = start;
    this.#budget = budget;
    this.#tokenBytes = symbolsOf;
  }

  get bits(): Uint32Array {
    return (this.#bits ??= this.#ended
      ? new Uint32Array(wordsOf(this.#masks.vocabulary.size))
      : this.#masks.bits(this.#state, this.#budget));
  }

  get isDone(): boolean {
    return this.#ended || (this.#state.isEnd && this.#state.frames.length === 0);
  }

  get mayEnd(): boolean {
    return this.#ended || this.#state.isEnd;
  }

  get closingCost(): number {
    return this.#ended ? 0 : this.#state.cost;
  }

  accept(id: number): void {
    invariant((this.bits[id >>> 5]! >>> (id & 31)) & 1, `token ${id} is against the constraint`);
    this.#bits = null;
    this.#budget--;
    if (this.#masks.vocabulary.endTokens.includes(id)) this.#ended = true;
    else this.#state = this.#after(id);
    this.#masks.automaton.tidy(this.#state);
  }

  #after(id: number): State {
    let state: State | null = this.#state;
    for (const symbol of this.#tokenBytes(id)) state &&= this.#masks.automaton.step(state, symbol);
    invariant(state, `token ${id} leads nowhere`);
    return state;
  }
}

const automata = new WeakMap<Vocabulary, Recent<string, Masks>>();

function masksFor(constraint: Constraint, vocabulary: Vocabulary): Masks {
  let known = automata.get(vocabulary);
  if (!known) automata.set(vocabulary, (known = new Recent(MOST_CONSTRAINTS)));
  return known.get(JSON.stringify(constraint), () => {
    const make = new Expressions(vocabulary);
    return new Masks(new Automaton(make, compile(constraint, make)));
  });
}

/**
 * In every state some token is allowed, or the text may end; a text that ends satisfies the constraint.
 * @throws InvalidRequest when the constraint uses what is not supported (by JSON pointer), when nothing can satisfy it with these tokens, or
 * when `maxTokens` are too few
 */
export function createTokenMask(
  constraint: Constraint,
  vocabulary: Vocabulary,
  { maxTokens = Infinity }: MaskOptions = {},
): TokenMask {
  const masks = masksFor(constraint, vocabulary);
  const { start } = masks.automaton;
  if (!start) {
    throw new InvalidRequest(
      'nothing satisfies the constraint: a required part is impossible, or has bytes that no token of this model spells',
      { parameter: 'constraint' },
    );
  }
  if (start.cost > maxTokens) {
    throw new InvalidRequest(`the constraint needs ${start.cost} tokens; maxTokens is ${maxTokens}: raise it`, {
      parameter: 'maxTokens',
      needed: start.cost,
      maxTokens,
    });
  }
  return new ConstraintMask(masks, start, maxTokens, vocabulary.symbolsOf);
}
