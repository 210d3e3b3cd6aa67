/** Twin of shaders/embed/embed_rows.wgsl, for a whole table: table [N, D], ids [T], sinusoids [context, D]; returns [T, D]. Ids beyond the table give its last row. */
export function embedRows(
  ids: ArrayLike<number>,
  table: ArrayLike<number>,
  shape: { tokens: number; rows: number; size: number; scale?: number },
  at?: { sinusoids: ArrayLike<number>; position: number },
): Float64Array {
  const { tokens, rows, size, scale = 1 } = shape;
  const out = new Float64Array(tokens * size);
  for (let t = 0; t < tokens; t++) {
    const row = Math.min(ids[t]!, rows - 1);
    const added = (d: number): number => (at ? at.sinusoids[(at.position + t) * size + d]! : 0);
    for (let d = 0; d < size; d++) out[t * size + d] = table[row * size + d]! * scale + added(d);
  }
  return out;
}
