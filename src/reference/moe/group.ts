/** Twin of shaders/moe/group.wgsl. */
export interface Grouping {
  readonly pairOfRow: Uint32Array; // [P]
  readonly rowOfPair: Uint32Array; // [P]
  /** (expert, first row, rows) */
  readonly tiles: readonly (readonly [expert: number, firstRow: number, rows: number])[];
  readonly counts: Uint32Array; // [E]
}

/** @param ids the chosen experts pair by pair, [P] */
export function group(ids: ArrayLike<number>, experts: number, tileRows: number): Grouping {
  const pairOfRow = new Uint32Array(ids.length);
  const rowOfPair = new Uint32Array(ids.length);
  const counts = new Uint32Array(experts);
  const tiles: [number, number, number][] = [];
  let row = 0;
  for (let e = 0; e < experts; e++) {
    const first = row;
    for (let pair = 0; pair < ids.length; pair++) {
      if (ids[pair] !== e) continue;
      pairOfRow[row] = pair;
      rowOfPair[pair] = row++;
    }
    counts[e] = row - first;
    for (let r = first; r < row; r += tileRows) tiles.push([e, r, Math.min(tileRows, row - r)]);
  }
  return { pairOfRow, rowOfPair, tiles, counts };
}
