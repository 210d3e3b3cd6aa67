import { attention, type AttentionTwin } from './attention.ts';

/** A row of a step: of which sequence, and where in it. */
export interface PagedRow {
  readonly position: number;
  /** Pages of its sequence, in order. */
  readonly pages: readonly number[];
}

/**
 * Twin of shaders/attention/attention_paged.wgsl: each row by itself, its keys and values gathered from pages of `page` tokens.
 * q [T, H, keySize], kPages [pages, Hk, page, keySize], vPages [pages, Hk, page, valueSize]; returns [T, H, valueSize].
 */
export function attentionPaged(
  io: { q: ArrayLike<number>; kPages: ArrayLike<number>; vPages: ArrayLike<number>; sinks?: ArrayLike<number> },
  rows: readonly PagedRow[],
  page: number,
  shape: Omit<AttentionTwin, 'tokens' | 'position' | 'capacity'>,
): Float64Array {
  const { heads, kvHeads, keySize, valueSize } = shape;
  const gathered = (from: ArrayLike<number>, { position, pages }: PagedRow, size: number): Float64Array => {
    const to = new Float64Array(kvHeads * (position + 1) * size);
    for (let h = 0; h < kvHeads; h++)
      for (let j = 0; j <= position; j++)
        for (let d = 0; d < size; d++) {
          const at = (pages[Math.floor(j / page)]! * kvHeads + h) * page + (j % page);
          to[(h * (position + 1) + j) * size + d] = from[at * size + d]!;
        }
    return to;
  };
  const out = new Float64Array(rows.length * heads * valueSize);
  rows.forEach((row, t) => {
    const q = Array.from({ length: heads * keySize }, (_, i) => io.q[t * heads * keySize + i]!);
    const [kCache, vCache] = [gathered(io.kPages, row, keySize), gathered(io.vPages, row, valueSize)];
    const sinks = io.sinks ? { sinks: io.sinks } : {};
    const { position } = row;
    const one = attention({ q, kCache, vCache, ...sinks }, { ...shape, tokens: 1, position, capacity: position + 1 });
    out.set(one, t * heads * valueSize);
  });
  return out;
}
