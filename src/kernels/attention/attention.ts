import type { BufferView } from '../../gpu/buffer.ts';
import type { DispatchSpec, Recorder, StepShape } from '../../gpu/recording.ts';
import type { Imports } from '../../gpu/shader.ts';
import { invariant } from '../../util/assert.ts';
import { ceilDiv } from '../../util/math.ts';
import { assertFits } from './capacity.ts';
import { canMakeHeads, type HeadsSource } from './heads.ts';
import { decodeRows, firstVisible, KEYS_PER_SPLIT, partialsBytes, prefillTile, splitCount } from './attention_plan.ts';

export { partialsBytes };

export interface Attention {
  /** [T, H, keySize], the step's own keys being in the cache; or, for decode only, what the step's q, k and v are made from: k and v go to the caches. */
  readonly q: BufferView | HeadsSource;
  readonly kCache: BufferView; // [Hk, capacity, keySize]
  readonly vCache: BufferView; // [Hk, capacity, valueSize]
  /** [H]: one logit a head that joins the softmax's denominator. */
  readonly sinks?: BufferView;
  /** Scratch of `partialsBytes`; decode needs it where that is more than zero. */
  readonly partials?: BufferView;
  readonly out: BufferView; // [T, H, valueSize]
}

export interface AttentionShape {
  readonly heads: number; // H
  readonly kvHeads: number; // Hk
  readonly keySize: number;
  readonly valueSize: number;
  /** Multiplies q·k. */
  readonly scale: number;
  /** Keys with position > query position - window are seen; null sees all. */
  readonly window: number | null;
  /** In place of that, keys of the query's own stretch of `window` positions. Default false. */
  readonly chunked?: boolean;
  /** A scaled product s counts as cap tanh(s / cap). Absent: as it is. */
  readonly softcap?: number | undefined;
  /** Positions that the caches hold. */
  readonly capacity: number;
  /** Both give the same values; decode is for a few tokens (its work per token does not share keys between tokens). */
  readonly phase: 'decode' | 'prefill';
}

/** The shader's WINDOW where every key is seen: more than any position, and position + 1 still fits. */
const NO_WINDOW = 0x7fffffff;

/** out[t, h] = Σ softmax(scale q[t, h]·k[j]) v[j] over the keys j ≤ position + t inside the window. */
export function attention(recorder: Recorder, label: string, io: Attention, shape: AttentionShape): void {
  const { heads, kvHeads, window } = shape;
  invariant(Number.isInteger(heads / kvHeads), `${label}: ${heads} heads over ${kvHeads} kv heads`);
  invariant(!shape.chunked || window !== null, `${label}: stretches of what length?`);
  invariant(window === null || (Number.isInteger(window) && window >= 1), `${label}: a window of ${window} keys`);
  if (shape.phase === 'prefill') prefill(recorder, label, io, shape);
  else decode(recorder, label, io, shape);
}

const visibleConstants = ({ window, chunked = false }: AttentionShape) => ({
  WINDOW: window ?? NO_WINDOW,
  CHUNKED: chunked,
});

const sharedConstants = (shape: AttentionShape) => {
  const { heads, kvHeads, keySize, valueSize, capacity, scale, softcap } = shape;
  return {
    HEADS: heads,
    KV_HEADS: kvHeads,
    KEY_SIZE: keySize,
    VALUE_SIZE: valueSize,
    CAPACITY: capacity,
    SCALE: scale,
    SOFTCAP: softcap !== undefined,
    ...(softcap !== undefined && { CAP: softcap }),
    ...visibleConstants(shape),
  };
};

function prefill(recorder: Recorder, label: string, io: Attention, shape: AttentionShape): void {
  const { queries, slice } = prefillTile(shape);
  invariant('buffer' in io.q, `${label}: the prefill kernel does not make its heads`);
  recorder.dispatch({
    shader: 'attention/attention_prefill',
    label,
    constants: { ...sharedConstants(shape), QUERIES: queries, SLICE: slice, SINKS: io.sinks !== undefined },
    bindings: {
      q: io.q,
      k_cache: io.kCache,
      v_cache: io.vCache,
      out: io.out,
      ...(io.sinks && { sinks: io.sinks }),
    },
    grid: (step) => {
      assertFits(label, step, shape.capacity);
      return [ceilDiv(step.tokens, queries), shape.heads, 1];
    },
  });
}

/** What the decode kernel needs for the step's queries, or to make them with their keys and values. */
function queriesOf(
  label: string,
  q: Attention['q'],
  shape: { splits: number; sinks: boolean },
): Pick<DispatchSpec, 'constants' | 'bindings'> & { imports: Imports } {
  if ('buffer' in q) return { constants: { FRESH: false }, imports: {}, bindings: { q } };
  invariant(canMakeHeads(q, shape), `${label}: too many buffers to make heads on the way`);
  const { NORMED = false, VALUE_NORMED = false, RISES = false, ...constants } = q.constants;
  return {
    constants: { ...constants, FRESH: true, NORMED, VALUE_NORMED, RISES },
    imports: { ...q.imports, heads: q.module },
    bindings: q.bindings,
  };
}

function decode(recorder: Recorder, label: string, io: Attention, shape: AttentionShape): void {
  const { heads, valueSize, capacity, window, chunked } = shape;
  const splits = splitCount(capacity);
  const rows = decodeRows(shape);
  const needsReduce = splits > 1;
  invariant(!needsReduce || io.partials, `${label}: a cache of ${capacity} positions needs partials`);
  const splitsOf = ({ tokens, position }: StepShape): number =>
    tokens === 0
      ? 0
      : Math.floor((position + tokens - 1) / KEYS_PER_SPLIT) -
        Math.floor(firstVisible(position, window, chunked) / KEYS_PER_SPLIT) +
        1;
  const sinks = { SINKS: io.sinks !== undefined };
  const source = queriesOf(label, io.q, { splits, sinks: sinks.SINKS });
  recorder.dispatch({
    shader: 'attention/attention_decode',
    label,
    constants: {
      ...sharedConstants(shape),
      ...sinks,
      ROWS: rows,
      CHUNK: KEYS_PER_SPLIT,
      VEC4: shape.keySize % 4 === 0,
      SPLIT: needsReduce,
      ...(needsReduce && { SPLITS: splits }),
      ...source.constants,
    },
    imports: source.imports,
    bindings: {
      ...source.bindings,
      k_cache: io.kCache,
      v_cache: io.vCache,
      out: io.out,
      ...(needsReduce && { partials: io.partials! }),
      ...(io.sinks && { sinks: io.sinks }),
    },
    grid: (step) => {
      assertFits(label, step, capacity);
      const scratch = partialsBytes({ heads, valueSize, capacity, tokens: step.tokens });
      invariant(
        scratch <= (io.partials?.size ?? 0),
        `${label}: ${step.tokens} tokens need ${scratch} bytes of partials`,
      );
      return [splitsOf(step), heads / rows, step.tokens];
    },
  });
  if (!needsReduce) return;
  recorder.dispatch({
    shader: 'attention/attention_reduce',
    label: `${label}, join splits`,
    constants: {
      HEADS: heads,
      VALUE_SIZE: valueSize,
      CHUNK: KEYS_PER_SPLIT,
      SPLITS: splits,
      ...visibleConstants(shape),
      ...sinks,
    },
    bindings: { partials: io.partials!, out: io.out, ...(io.sinks && { sinks: io.sinks }) },
    grid: (step) => (splitsOf(step) > 1 ? [heads, ceilDiv(valueSize, 64), step.tokens] : [0, 0, 0]),
  });
}
