/** Keys and values of many sequences in one pool: pages of so many tokens, given to whoever needs one. */
import type { BufferView } from '../../gpu/buffer.ts';

/** Tokens of a page: a multiple of what shaders read at once is not needed, and a sequence wastes half a page on average. */
export const PAGE_TOKENS = 16;

export const pagesFor = (tokens: number): number => Math.ceil(tokens / PAGE_TOKENS);

/** Words of `rows` for each row of a step, its tokens being of any sequences. */
export const ROW_WORDS = 4;

export interface KvPages {
  readonly keys: BufferView; // [pages, Hk, PAGE_TOKENS, key size] f32; of latent attention [pages, PAGE_TOKENS, kvRank + rope]
  /** [pages, Hk, PAGE_TOKENS, value size] f32; of latent attention the same buffer. */
  readonly values: BufferView;
  /**
   * [T, ROW_WORDS] u32: a row's position in its sequence, its place in the pages (page * PAGE_TOKENS + token of it), the word of this buffer where
   * its sequence's pages are listed in order, 0. Behind the rows of the longest step, the lists.
   */
  readonly rows: BufferView;
}
