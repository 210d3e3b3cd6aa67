/** Which tokens a request may draw, and how much its bias raises their logits: what the caller asked for, checked, and what a constraint allows. */
import { InvalidRequest } from '../errors.ts';
import { tokenSetWords } from '../kernels/sample/sample.ts';
import { MAX_TOP_LOGPROBS } from '../kernels/sample/top_logprobs.ts';
import type { TokenMask } from '../text/grammar/index.ts';

/** A bias of this much leaves a token no chance, and all others if it is positive. */
const ABSOLUTE = 100;

export interface LimitOptions {
  readonly logitBias?: Readonly<Record<number, number>> | undefined;
  readonly topLogprobs?: number | undefined;
}

type TokenSet = Uint32Array<ArrayBuffer>;

/** What a bias says, apart: bans and forces decide which tokens may be drawn. */
interface Bias {
  /** [V] what is added; null where nothing is. */
  readonly added: Float32Array<ArrayBuffer> | null;
  readonly banned: readonly number[];
  readonly forced: readonly number[];
}

function checkedBias(logitBias: LimitOptions['logitBias'], vocab: number): [id: number, bias: number][] {
  return Object.entries(logitBias ?? {}).map(([key, bias]: [string, unknown]) => {
    const id = Number(key);
    if (!/^\d+$/.test(key) || id >= vocab)
      throw new InvalidRequest(`logitBias names token ${key}; the vocabulary has ids 0 to ${vocab - 1}`, {
        id: key,
        vocab,
      });
    if (typeof bias !== 'number' || !(Math.abs(bias) <= ABSOLUTE))
      throw new InvalidRequest(`logitBias of token ${id} must be a number from -100 to 100, got ${String(bias)}`, {
        id,
        bias,
      });
    return [id, bias];
  });
}

function readBias(logitBias: LimitOptions['logitBias'], vocab: number): Bias {
  const entries = checkedBias(logitBias, vocab);
  const idsAt = (limit: number): number[] => entries.filter(([, bias]) => bias === limit).map(([id]) => id);
  const graded = entries.filter(([, bias]) => bias !== 0 && Math.abs(bias) < ABSOLUTE);
  const added = graded.length > 0 ? new Float32Array(vocab) : null;
  for (const [id, bias] of graded) added![id] = bias;
  return { added, banned: idsAt(-ABSOLUTE), forced: idsAt(ABSOLUTE) };
}

function setOf(ids: Iterable<number>, vocab: number): TokenSet {
  const words = new Uint32Array(tokenSetWords(vocab));
  for (const id of ids) words[id >> 5]! |= 1 << (id & 31);
  return words;
}

const everything = (vocab: number): TokenSet => setOf(Array(vocab).keys(), vocab);

/** `from` without the tokens that `isIn` the other set, or with those only; null when nothing would be left. */
function narrowed(from: TokenSet, other: TokenSet, keeps: 'others' | 'these'): TokenSet | null {
  const words = from.map((word, i) => (keeps === 'these' ? word & other[i]! : word & ~other[i]!));
  return words.some((word) => word !== 0) ? words : null;
}

/** @throws InvalidRequest */
export function checkTopLogprobs(n: unknown = 0): number {
  if (Number.isInteger(n) && (n as number) >= 0 && (n as number) <= MAX_TOP_LOGPROBS) return n as number;
  throw new InvalidRequest(`topLogprobs must be a whole number from 0 to ${MAX_TOP_LOGPROBS}, got ${String(n)}`, {
    field: 'topLogprobs',
    value: n,
  });
}

export class TokenLimits {
  /** [V] added to the logits; null where nothing is. */
  readonly bias: Float32Array<ArrayBuffer> | null;
  readonly topLogprobs: number;
  /** Nothing but the first of them may come next. */
  readonly #first: TokenSet[];
  readonly #mask: TokenMask | null;
  readonly #banned: TokenSet | null;
  readonly #forced: TokenSet | null;
  #allowed: TokenSet | null;

  /**
   * @param mask what a constraint allows: it comes first. A bias of 100 or -100 chooses among what it allows, and is set aside where that leaves nothing
   * @param never ids that are banned like those with a bias of -100
   * @param first ids that come before all that, whatever is banned
   * @throws InvalidRequest naming the token or the option; where a bias bans every token
   */
  constructor(
    options: LimitOptions,
    vocab: number,
    mask: TokenMask | null = null,
    never: readonly number[] = [],
    first: readonly number[] = [],
  ) {
    const { added, banned, forced } = readBias(options.logitBias, vocab);
    const bans = [...banned, ...never];
    this.bias = added;
    this.topLogprobs = checkTopLogprobs(options.topLogprobs);
    this.#first = first.map((id) => setOf([id], vocab));
    this.#mask = mask;
    this.#banned = bans.length > 0 ? setOf(bans, vocab) : null;
    this.#forced = forced.length > 0 ? setOf(forced, vocab) : null;
    this.#allowed = mask ? this.#among(mask.bits) : this.#banned || this.#forced ? this.#unmasked(vocab) : null;
  }

  #unmasked(vocab: number): TokenSet {
    const all = everything(vocab);
    if (this.#banned && !narrowed(all, this.#banned, 'others'))
      throw new InvalidRequest('logitBias bans every token of the vocabulary', {});
    return this.#among(all);
  }

  #among(bits: Uint32Array): TokenSet {
    let words = Uint32Array.from(bits);
    if (this.#banned) words = narrowed(words, this.#banned, 'others') ?? words;
    if (this.#forced) words = narrowed(words, this.#forced, 'these') ?? words;
    return words;
  }

  /** [ceil(V / 32)] the tokens that may come next; null: any. Another array after each `accept` that changes it. */
  get allowed(): TokenSet | null {
    return this.#first[0] ?? this.#allowed;
  }

  /** A constraint is complete: nothing but an end token may follow. */
  get isDone(): boolean {
    return this.#mask?.isDone ?? false;
  }

  /** @param id that was drawn */
  accept(id: number): void {
    if (this.#first.shift() || !this.#mask) return;
    this.#mask.accept(id);
    this.#allowed = this.#among(this.#mask.bits);
  }
}
