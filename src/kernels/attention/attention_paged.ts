import type { BufferView } from '../../gpu/buffer.ts';
import type { Recorder } from '../../gpu/recording.ts';
import { invariant } from '../../util/assert.ts';
import { scoreConstants, visibleConstants, type AttentionShape } from './attention.ts';
import { decodeRows } from './attention_plan.ts';
import { PAGE_TOKENS, type KvPages } from './pages.ts';

export interface AttentionPaged {
  readonly q: BufferView; // [T, H, keySize]; the rows' own keys are in the pages
  readonly pages: KvPages;
  /** [H]: one logit a head that joins the softmax's denominator. */
  readonly sinks?: BufferView;
  readonly out: BufferView; // [T, H, valueSize]
}

export type AttentionPagedShape = Omit<AttentionShape, 'capacity' | 'phase' | 'kv'>;

/** As `attention`, each row of a sequence of its own: the same bits whichever rows it is computed with. */
export function attentionPaged(
  recorder: Recorder,
  label: string,
  { q, pages, sinks, out }: AttentionPaged,
  shape: AttentionPagedShape,
): void {
  const { heads, kvHeads, keySize, valueSize } = shape;
  invariant(Number.isInteger(heads / kvHeads), `${label}: ${heads} heads over ${kvHeads} kv heads`);
  const rows = decodeRows(shape);
  recorder.dispatch({
    shader: 'attention/attention_paged',
    label,
    constants: {
      HEADS: heads,
      KV_HEADS: kvHeads,
      KEY_SIZE: keySize,
      VALUE_SIZE: valueSize,
      V_ROW: pages.values === pages.keys ? keySize : valueSize,
      PAGE: PAGE_TOKENS,
      ...scoreConstants(shape),
      ...visibleConstants(shape),
      ROWS: rows,
      VEC4: keySize % 4 === 0,
      SINKS: sinks !== undefined,
    },
    bindings: { q, k_pages: pages.keys, v_pages: pages.values, rows: pages.rows, out, ...(sinks && { sinks }) },
    grid: ({ tokens }) => [heads / rows, tokens, 1],
  });
}
