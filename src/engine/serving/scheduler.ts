/**
 * Which tokens of which requests the next step computes. Requests join and leave between steps; each step takes a row of every request that is
 * answering and, with the rows that are left, stretches of the prompts of those that are not so far. Pure.
 *
 *   seats    so many requests run at once, the others wait in order of arrival
 *   pages    are given in that order. When none is left, whoever stopped reading gives its own back, then the youngest; it computes its tokens
 *            again later, and nobody younger gets pages before it does
 *   adapter  a step is of requests under one, or of those under none: of whoever moved longest ago
 *   rows     go first to whoever moved longest ago, so that each request moves at least once in twice as many steps as there are
 */
import { OutOfBudget } from '../../errors.ts';
import { PAGE_TOKENS, pagesFor } from '../../kernels/attention/pages.ts';
import { invariant } from '../../util/assert.ts';
import { PagePool, ROOT } from './page-pool.ts';

export interface SchedulerOptions {
  readonly pages: number;
  /** Requests that run at once. */
  readonly inFlight: number;
  /** Tokens of a step, at most. */
  readonly rows: number;
}

/** A request's tokens, and what of them is in the pool. */
export interface Sequence {
  /** The prompt, and what was drawn so far. */
  readonly tokens: readonly number[];
  /** Tokens of the prompt. */
  readonly prompt: number;
  /** Leading tokens whose keys and values are in `pages`. */
  readonly computed: number;
  /** In order; another array whenever it starts anew. */
  readonly pages: readonly number[];
  /** Below `inFlight`; null while it waits. */
  readonly seat: number | null;
  /** Leading tokens that it found in the pool when it first ran; null before. */
  readonly found: number | null;
  readonly adapter: string | null;
}

class Entry implements Sequence {
  readonly tokens: number[];
  readonly prompt: number;
  readonly most: number;
  readonly reuses: boolean;
  readonly adapter: string | null;
  computed = 0;
  pages: number[] = [];
  seat: number | null = null;
  found: number | null = null;
  isPaused = false;
  /** The step in which it last had a row, or came. */
  moved: number;
  /** Leading pages that are kept for others, and what the last of them stands for. */
  kept = 0;
  node = ROOT;

  constructor(
    prompt: readonly number[],
    { most, reuses, adapter, turn }: Pick<Entry, 'most' | 'reuses' | 'adapter'> & { readonly turn: number },
  ) {
    this.tokens = [...prompt];
    this.prompt = prompt.length;
    this.most = most;
    this.reuses = reuses;
    this.adapter = adapter;
    this.moved = turn;
  }

  get left(): number {
    return this.tokens.length - this.computed;
  }

  get isHolding(): boolean {
    return this.pages.length > 0;
  }
}

/** Tokens [begin, end) of a sequence. */
export interface Stretch {
  readonly sequence: Sequence;
  readonly begin: number;
  readonly end: number;
  /** Its last token is the sequence's: the next is drawn after it. */
  readonly draws: boolean;
}

/** Of the rows of a step, prompts get this share even where answers could use all. */
const PROMPT_SHARE = 1 / 4;

export class Scheduler {
  readonly #pool: PagePool;
  readonly #rows: number;
  /** In order of arrival. */
  readonly #entries = new Set<Entry>();
  readonly #seats: (Entry | null)[];
  /** What the beginning of a text stands for, by adapter: none of the pool's own names. */
  readonly #roots = new Map<string, number>();
  #turn = 0;

  constructor({ pages, inFlight, rows }: SchedulerOptions) {
    this.#pool = new PagePool(pages);
    this.#rows = rows;
    this.#seats = Array.from({ length: inFlight }, () => null);
  }

  get pool(): Pick<PagePool, 'size' | 'available' | 'used' | 'shared'> {
    return this.#pool;
  }

  /** Requests that are not done. */
  get size(): number {
    return this.#entries.size;
  }

  /** Whether `next` has something to compute. */
  get isRunnable(): boolean {
    return [...this.#entries].some((e) => !e.isPaused && e.left > 0);
  }

  /**
   * @param most tokens that prompt and answer may come to
   * @param reuses whether pages that others computed under the same adapter may serve for the prompt's beginning
   * @throws OutOfBudget when the pool could not hold it even if it were alone
   */
  add(prompt: readonly number[], most: number, reuses = true, adapter: string | null = null): Sequence {
    invariant(prompt.length > 0 && most >= prompt.length, `a request of ${prompt.length} of ${most} tokens`);
    const need = pagesFor(most);
    if (need > this.#pool.size)
      throw new OutOfBudget(
        `A request of up to ${most} tokens needs ${need} pages of keys and values, and there are ${this.#pool.size}: raise requests.kvBytes, or lower maxTokens`,
        { tokens: most, pages: need, poolPages: this.#pool.size },
      );
    const entry = new Entry(prompt, { most, reuses, adapter, turn: this.#turn });
    entry.node = this.#rootOf(entry);
    this.#entries.add(entry);
    return entry;
  }

  /** What it had is free at once. */
  remove(sequence: Sequence): void {
    const entry = this.#entryOf(sequence);
    if (!entry) return;
    this.#giveUp(entry);
    this.#leaveSeat(entry);
    this.#entries.delete(entry);
  }

  /** Goes on with the token drawn. */
  append(sequence: Sequence, id: number): void {
    const entry = this.#entryOf(sequence);
    invariant(entry?.left === 0 && entry.tokens.length < entry.most, 'a token is appended that was not drawn');
    entry.tokens.push(id);
  }

  /** Nobody takes its tokens: it runs no further, and others may have its pages and its seat. */
  pause(sequence: Sequence, isPaused: boolean): void {
    const entry = this.#entryOf(sequence);
    if (entry) entry.isPaused = isPaused;
  }

  /** The pool's contents are gone: all starts anew. */
  forget(): void {
    for (const entry of this.#entries) this.#giveUp(entry);
    this.#pool.clear();
  }

  /** The next step's stretches, in no particular order; none only where `isRunnable` is false. */
  next(): Stretch[] {
    this.#turn++;
    this.#seat();
    for (const entry of this.#byAge()) if (!this.#provide(entry)) break;
    return this.#share();
  }

  /** The step ran. Sequences that were removed meanwhile are left out. */
  done(stretches: readonly Stretch[]): void {
    for (const { sequence, end } of stretches) {
      const entry = this.#entryOf(sequence);
      if (!entry) continue;
      entry.computed = end;
      this.#keepFull(entry);
    }
  }

  #entryOf(sequence: Sequence): Entry | null {
    return this.#entries.has(sequence as Entry) ? (sequence as Entry) : null;
  }

  /** Whoever runs, oldest first. */
  #byAge(): Entry[] {
    return [...this.#entries].filter((e) => e.seat !== null && !e.isPaused && e.left > 0);
  }

  #seat(): void {
    for (const entry of this.#entries) {
      if (entry.seat !== null || entry.isPaused) continue;
      let seat = this.#seats.indexOf(null);
      if (seat < 0) seat = this.#vacate();
      if (seat < 0) return;
      entry.seat = seat;
      this.#seats[seat] = entry;
    }
  }

  /** @returns a seat that nobody needed; -1: there is none */
  #vacate(): number {
    const seat = this.#seats.findLastIndex((e) => e?.isPaused);
    const entry = this.#seats[seat];
    if (!entry) return -1;
    this.#giveUp(entry);
    this.#leaveSeat(entry);
    return seat;
  }

  #leaveSeat(entry: Entry): void {
    if (entry.seat !== null) this.#seats[entry.seat] = null;
    entry.seat = null;
  }

  #giveUp(entry: Entry): void {
    this.#pool.release(entry.pages);
    entry.pages = [];
    entry.computed = 0;
    entry.kept = 0;
    entry.node = this.#rootOf(entry);
  }

  /** Gives it pages for all of its tokens. @returns whether nobody younger has to wait for it */
  #provide(entry: Entry): boolean {
    const isNew = !entry.isHolding;
    if (isNew) this.#findPrefix(entry);
    const need = pagesFor(entry.tokens.length) - entry.pages.length;
    // One that starts leaves a page for those that grow, or it would soon be sent away again.
    const spare = isNew ? 1 : 0;
    if (this.#makeRoom(need, entry, spare)) {
      for (let i = 0; i < need; i++) entry.pages.push(this.#pool.take());
      entry.found ??= entry.computed;
      return true;
    }
    if (isNew) this.#giveUp(entry);
    return !isNew;
  }

  #findPrefix(entry: Entry): void {
    if (!entry.reuses && entry.found === null) return;
    const { tokens } = entry;
    const { pages, node } = this.#pool.retain(tokens, tokens.length - 1, this.#rootOf(entry)); // the last is computed, for its logits
    entry.pages = [...pages];
    entry.computed = pages.length * PAGE_TOKENS;
    entry.kept = pages.length;
    entry.node = node;
  }

  /** Texts begin alike only under the same adapter. */
  #rootOf({ adapter }: Entry): number {
    if (adapter === null) return ROOT;
    const root = this.#roots.get(adapter) ?? -1 - this.#roots.size;
    this.#roots.set(adapter, root);
    return root;
  }

  #holders(): Entry[] {
    return [...this.#entries].filter((e) => e.isHolding);
  }

  /** Sends others away, as far as it takes, while there are any that may be. */
  #makeRoom(need: number, entry: Entry, spare: number): boolean {
    if (need === 0) return true;
    while (this.#pool.available < need + spare) {
      const victim = this.#victim(entry);
      if (!victim) break;
      this.#giveUp(victim);
    }
    const isAlone = !this.#holders().some((e) => e !== entry);
    return this.#pool.available >= (isAlone ? need : need + spare);
  }

  /** Who stopped reading, else the youngest; nobody older. */
  #victim(entry: Entry): Entry | undefined {
    const all = [...this.#entries];
    const others = all.filter((e) => e.isHolding && e !== entry);
    const age = all.indexOf(entry);
    return others.findLast((e) => e.isPaused) ?? others.findLast((e) => all.indexOf(e) > age);
  }

  #share(): Stretch[] {
    const ready = this.#byAge().filter((e) => e.isHolding && pagesFor(e.tokens.length) <= e.pages.length);
    const byTurn = ready.toSorted((a, b) => a.moved - b.moved);
    const order = byTurn.filter((e) => e.adapter === byTurn[0]!.adapter);
    const answers = order.filter((e) => e.left === 1);
    const prompts = order.filter((e) => e.left > 1);
    const kept = prompts.length ? Math.max(Math.floor(this.#rows * PROMPT_SHARE), this.#turn % 2) : 0;
    const stretches = answers.slice(0, this.#rows - kept).map((e) => this.#move(e, 1));
    let rows = this.#rows - stretches.length;
    prompts.forEach((e, i) => {
      const take = Math.min(e.left, Math.ceil(rows / (prompts.length - i)));
      if (take > 0) stretches.push(this.#move(e, take));
      rows -= take;
    });
    return stretches;
  }

  #move(entry: Entry, tokens: number): Stretch {
    entry.moved = this.#turn;
    return stretchOf(entry, tokens);
  }

  #keepFull(entry: Entry): void {
    for (; (entry.kept + 1) * PAGE_TOKENS <= entry.computed; entry.kept++) {
      const begin = entry.kept * PAGE_TOKENS;
      const ids = entry.tokens.slice(begin, begin + PAGE_TOKENS);
      entry.node = this.#pool.keep(entry.pages[entry.kept]!, entry.node, ids);
    }
  }
}

function stretchOf(sequence: Entry, tokens: number): Stretch {
  const { computed: begin } = sequence;
  const end = begin + tokens;
  return { sequence, begin, end, draws: end === sequence.tokens.length };
}
