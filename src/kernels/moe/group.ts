import type { BufferView } from '../../gpu/buffer.ts';
import type { Recorder } from '../../gpu/recording.ts';
import { invariant } from '../../util/assert.ts';
import { MAX_EXPERTS } from './route.ts';

export const TILE_SIZES = [16, 32, 64] as const;
/** Rows of a tile at most: the more rows an expert has, the taller its tiles may be, and the less often its weights are read. */
export type TileRows = (typeof TILE_SIZES)[number];

export interface GroupIo {
  readonly routed: BufferView; // [T, 2K]: ids, then weights; pair p = token * K + k
  readonly pairOfRow: BufferView; // [P] u32 out
  readonly rowOfPair: BufferView; // [P] u32 out
  /** Element 0 is (number of tiles, 0, 0, 0); then (expert, first row, rows, 0). Room for 1 + tileBound. */
  readonly tiles: BufferView; // [1 + bound, 4] u32 out
  /** Rows of each expert. */
  readonly counts: BufferView; // [E] u32 out
}

export interface GroupShape {
  readonly experts: number; // E
  readonly topK: number; // K
  readonly tileRows: TileRows;
}

/** Orders the pairs by expert, then by pair, and cuts each expert's rows into tiles. */
export function group(recorder: Recorder, label: string, io: GroupIo, { experts, topK, tileRows }: GroupShape): void {
  invariant(experts <= MAX_EXPERTS, `${label}: ${experts} experts`);
  recorder.dispatch({
    shader: 'moe/group',
    label,
    constants: { WG: groupLanes(experts), E: experts, TOP_K: topK, TILE_ROWS: tileRows },
    bindings: {
      routed: io.routed,
      pair_of_row: io.pairOfRow,
      row_of_pair: io.rowOfPair,
      tiles: io.tiles,
      counts: io.counts,
    },
    grid: () => [1, 1, 1],
  });
}

/** As many lanes as 16 KiB of workgroup memory allow, but few where few experts promise few pairs. */
const groupLanes = (experts: number): number => (experts <= 32 ? 64 : experts <= 256 ? 256 : 128);

/** Tiles that `pairs` can need at most: every expert that has rows may leave one tile almost empty. */
export function tileBound(pairs: number, experts: number, tileRows: number): number {
  const used = Math.min(experts, pairs);
  return Math.floor((pairs + used * (tileRows - 1)) / tileRows);
}
