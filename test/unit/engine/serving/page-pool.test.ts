import { describe, expect, it } from 'vitest';
import { PagePool, ROOT } from '../../../../src/engine/serving/page-pool.ts';
import { PAGE_TOKENS } from '../../../../src/kernels/attention/pages.ts';

const text = (pages: number, seed = 0): number[] =>
  Array.from({ length: pages * PAGE_TOKENS }, (_, i) => (7 * i + seed) % 97);

/** Computes the pages of `ids` that are not there, and keeps them. */
function run(pool: PagePool, ids: readonly number[]): number[] {
  const { pages, node } = pool.retain(ids, ids.length);
  const all = [...pages];
  for (let last = node; all.length * PAGE_TOKENS < ids.length;) {
    const begin = all.length * PAGE_TOKENS;
    all.push(pool.take());
    last = pool.keep(all.at(-1)!, last, ids.slice(begin, begin + PAGE_TOKENS));
  }
  return all;
}

describe('pages', () => {
  it('of texts that begin alike are the same', () => {
    const pool = new PagePool(8);
    const first = run(pool, text(3));
    const second = run(pool, [...text(2), ...text(1, 5)]);
    expect(second.slice(0, 2)).toEqual(first.slice(0, 2));
    expect(second[2]).not.toBe(first[2]);
    expect([pool.used, pool.shared]).toEqual([4, 2]);
  });

  it('are found behind the same tokens only', () => {
    const pool = new PagePool(8);
    run(pool, [...text(1, 1), ...text(1, 9)]);
    const behindOthers = [...text(1, 2), ...text(1, 9)];
    expect(pool.retain(behindOthers, behindOthers.length).pages).toEqual([]);
    const cut = pool.retain(text(1, 1), PAGE_TOKENS - 1);
    expect(cut.pages, 'a page that would be used in part').toEqual([]);
  });

  it('stay when nobody uses them, and leave longest unused first, ends before beginnings', () => {
    const pool = new PagePool(4);
    const [old, recent] = [text(2), text(2, 3)];
    pool.release(run(pool, old));
    pool.release(run(pool, recent));
    expect([pool.used, pool.available]).toEqual([0, 4]);
    pool.take();
    expect(pool.retain(old, 32).pages).toHaveLength(1);
    pool.take();
    expect(pool.retain(recent, 32).pages, 'its end left, as its beginning was used later').toHaveLength(1);
  });

  it('for tokens that are kept already are not kept again', () => {
    const pool = new PagePool(4);
    const [mine, yours] = [pool.take(), pool.take()];
    const node = pool.keep(mine, ROOT, text(1));
    expect(pool.keep(yours, ROOT, text(1))).toBe(node);
    pool.release([yours]);
    pool.release([mine]);
    expect(pool.retain(text(1), 16).pages).toEqual([mine]);
  });

  it('are not given twice, nor given back twice', () => {
    const pool = new PagePool(1);
    const page = pool.take();
    expect(() => pool.take()).toThrow('none is left');
    pool.release([page]);
    expect(() => pool.release([page])).toThrow('given back twice');
  });
});
