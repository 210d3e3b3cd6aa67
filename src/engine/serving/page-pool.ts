/**
 * Who has which page of keys and values. Full pages are kept by the tokens that they stand for, from a text's beginning on, so that texts which
 * begin alike share them; a page that nobody uses any more stays until another needs its room, longest unused first. Pure.
 */
import { PAGE_TOKENS } from '../../kernels/attention/pages.ts';
import { invariant } from '../../util/assert.ts';

/** The beginning of every text. */
export const ROOT = 0;

/** A full page whose tokens, and all before them, are known. */
interface Kept {
  /** Never used twice: what follows a page that is gone is not found by mistake. */
  readonly node: number;
  readonly key: string;
  readonly page: number;
}

export interface Prefix {
  readonly pages: readonly number[];
  /** What the last of them stands for. */
  readonly node: number;
}

/** Exact: the tokens themselves, behind a name for all tokens before. */
const keyOf = (before: number, ids: readonly number[]): string => `${before}:${ids.join()}`;

export class PagePool {
  readonly size: number;
  readonly #free: number[];
  readonly #users: Uint32Array;
  readonly #kept = new Map<string, Kept>();
  readonly #keptAt: (Kept | null)[];
  /** Kept pages without a user, longest unused first. */
  readonly #idle = new Map<number, Kept>();
  #nodes = ROOT;

  constructor(size: number) {
    invariant(Number.isInteger(size) && size > 0, `a pool of ${size} pages`);
    this.size = size;
    this.#free = Array.from({ length: size }, (_, i) => size - 1 - i);
    this.#users = new Uint32Array(size);
    this.#keptAt = Array.from({ length: size }, () => null);
  }

  /** Pages that can be had now. */
  get available(): number {
    return this.#free.length + this.#idle.size;
  }

  /** Pages that somebody uses. */
  get used(): number {
    return this.size - this.available;
  }

  /** Of them, by more than one. */
  get shared(): number {
    return this.#users.reduce((n, users) => n + Number(users > 1), 0);
  }

  /**
   * Takes the longest beginning of `ids` that is kept in whole pages.
   * @param most tokens that it may have
   * @param root what its beginning stands for: a number of the caller's below 0 keeps texts apart that only look alike
   */
  retain(ids: readonly number[], most: number, root = ROOT): Prefix {
    const pages: number[] = [];
    let node = root;
    while ((pages.length + 1) * PAGE_TOKENS <= most) {
      const begin = pages.length * PAGE_TOKENS;
      const kept = this.#kept.get(keyOf(node, ids.slice(begin, begin + PAGE_TOKENS)));
      if (!kept) break;
      this.#use(kept.page);
      pages.push(kept.page);
      node = kept.node;
    }
    return { pages, node };
  }

  #use(page: number): void {
    this.#users[page]!++;
    this.#idle.delete(page);
  }

  /** An empty page; there must be one. */
  take(): number {
    const page = this.#free.pop() ?? this.#evict();
    this.#use(page);
    return page;
  }

  #evict(): number {
    const [oldest] = this.#idle.values();
    invariant(oldest, 'a page is taken where none is left');
    this.#idle.delete(oldest.page);
    this.#forget(oldest);
    return oldest.page;
  }

  #forget({ key, page }: Kept): void {
    this.#kept.delete(key);
    this.#keptAt[page] = null;
  }

  /**
   * Keeps a full page for others, unless one for the same tokens is kept already.
   * @param before what the page before it stands for
   * @returns what it stands for
   */
  keep(page: number, before: number, ids: readonly number[]): number {
    invariant(ids.length === PAGE_TOKENS && this.#users[page]! > 0, 'a page is kept that is not full, or not used');
    const key = keyOf(before, ids);
    const known = this.#kept.get(key);
    if (known) return known.node;
    const kept = { node: ++this.#nodes, key, page };
    this.#kept.set(key, kept);
    this.#keptAt[page] = kept;
    return kept.node;
  }

  /** Gives back what a user had, the end of its text to be forgotten before its beginning. */
  release(pages: readonly number[]): void {
    for (const page of pages.toReversed()) {
      invariant(this.#users[page]! > 0, `page ${page} is given back twice`);
      if (--this.#users[page]! > 0) continue;
      const kept = this.#keptAt[page];
      if (kept) this.#idle.set(page, kept);
      else this.#free.push(page);
    }
  }

  /** What unused pages hold counts no more. */
  clear(): void {
    for (const kept of this.#idle.values()) {
      this.#forget(kept);
      this.#free.push(kept.page);
    }
    this.#idle.clear();
  }
}
