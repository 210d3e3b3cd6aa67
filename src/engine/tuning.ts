/** What is chosen by measuring a device rather than by a rule: which kernels take a few tokens, and how many rows a tile of experts has. */
import type { TileRows } from '../kernels/moe/group.ts';

export interface Tuning {
  /** Steps of 2 to so many tokens run as a few (`Batch`), longer ones as a chunk; 1: none does. */
  readonly fewUpTo: number;
  /** Rows of a tile of the grouped expert kernels. */
  readonly tileRows: TileRows;
}

/** Without measuring: what needs the fewest pipelines. */
export const UNTUNED: Tuning = { fewUpTo: 1, tileRows: 16 };
