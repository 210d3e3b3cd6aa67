/** Chooses a `Tuning` by timing the programs that it is about, within a budget. No GPU in here: `time` runs them. */
import type { TileRows } from '../kernels/moe/group.ts';
import type { Tuning } from './tuning.ts';

/** One run: a step of `tokens`, as a few or as a chunk with tiles of so many rows. */
export interface Run {
  readonly batch: 'few' | 'chunk';
  readonly tokens: number;
  readonly tileRows: TileRows;
}

export interface TunerOptions {
  /** The most tokens of a step of a few; 1: there are none. */
  readonly fewMost: number;
  /** Tokens of a whole chunk. */
  readonly chunk: number;
  /** What tiles may be; the first is that of most devices. */
  readonly tileRows: readonly TileRows[];
  /** Milliseconds of a run. */
  readonly time: (run: Run) => Promise<number>;
  readonly now: () => number;
  readonly budgetMs: number;
}

/** What is worth a change: below it, two times are noise. */
const CLEARLY = 0.95;

/**
 * Most tokens first: where a few kernels win at 8, they win below, too. What the budget does not reach stays as it is without measuring.
 * @returns `untuned`, with what was measured in its place
 */
export async function tune(untuned: Tuning, options: TunerOptions): Promise<Tuning> {
  const { now, budgetMs } = options;
  const endsAt = now() + budgetMs;
  const hasTime = (): boolean => now() < endsAt;
  const tileRows = await chooseTiles(untuned.tileRows, options, hasTime);
  return { tileRows, fewUpTo: await chooseFew(untuned.fewUpTo, { ...options, tileRows: [tileRows] }, hasTime) };
}

async function chooseTiles(
  first: TileRows,
  { chunk: tokens, tileRows, time }: TunerOptions,
  hasTime: () => boolean,
): Promise<TileRows> {
  let best = first;
  if (tileRows.length < 2 || !hasTime()) return best;
  let least = await time({ batch: 'chunk', tokens, tileRows: best });
  for (const rows of tileRows.filter((r) => r !== best)) {
    if (!hasTime()) return best;
    const ms = await time({ batch: 'chunk', tokens, tileRows: rows });
    if (ms < CLEARLY * least) [best, least] = [rows, ms];
  }
  return best;
}

async function chooseFew(
  untuned: number,
  { fewMost, tileRows, time }: TunerOptions,
  hasTime: () => boolean,
): Promise<number> {
  if (fewMost < 2) return 1;
  for (let tokens = fewMost; tokens >= 2; tokens >>= 1) {
    if (!hasTime()) return untuned;
    const chunk = await time({ batch: 'chunk', tokens, tileRows: tileRows[0]! });
    if (!hasTime()) return untuned;
    if ((await time({ batch: 'few', tokens, tileRows: tileRows[0]! })) < CLEARLY * chunk) return tokens;
  }
  return 1;
}
