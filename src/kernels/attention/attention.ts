import type { KvFormat } from '../../config/kv-format.ts';
import type { BufferView } from '../../gpu/buffer.ts';
import type { DispatchSpec, Recorder, StepShape } from '../../gpu/recording.ts';
import type { Constants, Imports } from '../../gpu/shader.ts';
import { invariant } from '../../util/assert.ts';
import { ceilDiv } from '../../util/math.ts';
import type { Phase } from '../phase.ts';
import { assertFits } from './capacity.ts';
import { canMakeHeads, type HeadsSource, type RaisedHeads } from './heads.ts';
import { kvAccess, kvFlags } from './kv_format.ts';
import {
  decodeRows,
  firstVisible,
  KEYS_PER_SPLIT,
  latentRows,
  partialsBytes,
  prefillTile,
  splitCount,
} from './attention_plan.ts';

export { partialsBytes };

export interface Attention {
  /** [T, H, keySize], the step's own keys being in the cache; or, for decode only, what the step's q, k and v are made from: k and v go to the caches. */
  readonly q: BufferView | HeadsSource;
  readonly kCache: BufferView; // [Hk, capacity, keySize] in the format `kv`
  /** [Hk, capacity, valueSize]; of latents, whose first values are the values, the buffer of `kCache`. */
  readonly vCache: BufferView;
  /** [H]: one logit a head that joins the softmax's denominator. */
  readonly sinks?: BufferView;
  /** Scratch of `partialsBytes`; decode needs it where that is more than zero. */
  readonly partials?: BufferView;
  readonly out: BufferView; // [T, H, valueSize]; where the kernel makes heads of latents, [T, H, value size of a head]
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
  /** Default `f32`. */
  readonly kv?: KvFormat | undefined;
  /**
   * All give the same values. `decode` and `few` share no keys between tokens; where the kernel makes its heads, `few` puts the keys of all tokens
   * into the cache first, so that each sees those before it as it would alone.
   */
  readonly phase: Phase;
}

/** The shader's WINDOW where every key is seen: more than any position, and position + 1 still fits. */
export const NO_WINDOW = 0x7fffffff;

/** out[t, h] = Σ softmax(scale q[t, h]·k[j]) v[j] over the keys j ≤ position + t inside the window. */
export function attention(recorder: Recorder, label: string, io: Attention, shape: AttentionShape): void {
  const { heads, kvHeads, window } = shape;
  invariant(Number.isInteger(heads / kvHeads), `${label}: ${heads} heads over ${kvHeads} kv heads`);
  invariant(!shape.chunked || window !== null, `${label}: stretches of what length?`);
  invariant(window === null || (Number.isInteger(window) && window >= 1), `${label}: a window of ${window} keys`);
  if (shape.phase === 'prefill') prefill(recorder, label, io, shape);
  else decode(recorder, label, io, shape);
}

/** Of shaders/shared/visible. */
export const visibleConstants = ({
  window,
  chunked = false,
}: Pick<AttentionShape, 'window' | 'chunked'>): Constants => ({
  WINDOW: window ?? NO_WINDOW,
  CHUNKED: chunked,
});

interface CacheUse {
  readonly quads: { readonly k: boolean; readonly v: boolean };
  readonly writes: boolean;
  /** Whether values are read as part of the keys. */
  readonly keysOnly?: boolean;
}

/** Of kernels that read, or write, both caches. */
function caches(io: Attention, shape: AttentionShape, { quads, writes, keysOnly = false }: CacheUse) {
  const { keySize, valueSize, kv = 'f32' } = shape;
  const isShared = io.kCache.buffer === io.vCache.buffer && io.kCache.offset === io.vCache.offset;
  const k = kvAccess(kv, 'k_', { size: keySize, quads: quads.k, writes });
  const v = keysOnly ? null : kvAccess(kv, 'v_', { size: isShared ? keySize : valueSize, quads: quads.v, writes });
  return {
    constants: { ...k.constants, ...v?.constants },
    imports: { ...k.imports, ...v?.imports },
    bindings: { k_cache: io.kCache, ...(v && { v_cache: io.vCache }) },
  };
}
/** Of shaders/shared/score. */
export const scoreConstants = ({ scale, softcap }: Pick<AttentionShape, 'scale' | 'softcap'>): Constants => ({
  SCALE: scale,
  SOFTCAP: softcap !== undefined,
  ...(softcap !== undefined && { CAP: softcap }),
});

const sharedConstants = (shape: AttentionShape) => {
  const { heads, kvHeads, keySize, valueSize, capacity } = shape;
  return {
    HEADS: heads,
    KV_HEADS: kvHeads,
    KEY_SIZE: keySize,
    VALUE_SIZE: valueSize,
    CAPACITY: capacity,
    ...scoreConstants(shape),
    ...visibleConstants(shape),
  };
};

function prefill(recorder: Recorder, label: string, io: Attention, shape: AttentionShape): void {
  const { queries, slice } = prefillTile(shape);
  invariant('buffer' in io.q, `${label}: the prefill kernel does not make its heads`);
  const cache = caches(io, shape, { quads: { k: false, v: false }, writes: false });
  recorder.dispatch({
    shader: 'attention/attention_prefill',
    label,
    constants: {
      ...sharedConstants(shape),
      ...cache.constants,
      QUERIES: queries,
      SLICE: slice,
      SINKS: io.sinks !== undefined,
    },
    imports: cache.imports,
    bindings: {
      q: io.q,
      ...cache.bindings,
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
): Pick<DispatchSpec, 'constants' | 'bindings'> & { imports: Imports; raise: RaisedHeads | null } {
  if ('buffer' in q) return { constants: { FRESH: false, LATENT: false }, imports: {}, bindings: { q }, raise: null };
  invariant(canMakeHeads(q, shape), `${label}: too many buffers to make heads on the way`);
  const raise = q.raise ?? null;
  return {
    constants: { ...(raise ? {} : { VALUE_NORMED: false }), ...q.constants, FRESH: true, LATENT: raise !== null },
    imports: { ...q.imports, heads: q.module },
    bindings: q.bindings,
    raise,
  };
}

/** Values of a head that one workgroup of attention_reduce takes up, which joins all splits for them. */
const RAISED_ROWS = 32;

function decode(recorder: Recorder, label: string, io: Attention, shape: AttentionShape): void {
  const { heads, valueSize, capacity, window, chunked, kv = 'f32' } = shape;
  const splits = splitCount(capacity);
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
  const { raise } = source;
  const rows = raise ? latentRows(shape) : decodeRows(shape);
  const quads = shape.keySize % 4 === 0;
  const { PACKED, SCALED } = kvFlags(kv);
  const cache = caches(io, shape, {
    quads: { k: quads, v: false },
    writes: !('buffer' in io.q),
    keysOnly: raise !== null,
  });
  const isFresh = source.constants.FRESH === true;
  const appendsFirst = shape.phase === 'few' && isFresh;
  const kernel = {
    shader: 'attention/attention_decode',
    constants: {
      ...sharedConstants(shape),
      ...sinks,
      CHUNK: KEYS_PER_SPLIT,
      VEC4: quads,
      SPLIT: needsReduce,
      ...(needsReduce && { SPLITS: splits }),
      ...cache.constants,
      ...(source.constants.FRESH === true && { PACKED, SCALED }),
      ...source.constants,
    },
    imports: { ...cache.imports, ...source.imports },
    bindings: {
      ...source.bindings,
      ...cache.bindings,
      out: io.out,
      ...(needsReduce && { partials: io.partials! }),
      ...(io.sinks && { sinks: io.sinks }),
    },
  };
  const pass = { APPEND_ONLY: false, ...(isFresh && { APPENDED: appendsFirst }) };
  if (appendsFirst) {
    recorder.dispatch({
      ...kernel,
      label: `${label}, append`,
      constants: { ...kernel.constants, ...pass, APPEND_ONLY: true, ROWS: 1 },
      grid: (step) => {
        assertFits(label, step, capacity);
        return [1, shape.kvHeads, step.tokens];
      },
    });
  }
  recorder.dispatch({
    ...kernel,
    label,
    constants: { ...kernel.constants, ...pass, ROWS: rows },
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
  const passes = raise ? Math.max(1, Math.floor(RAISED_ROWS / raise.passRows)) : 0;
  const blocks = raise ? ceilDiv(raise.valueSize, passes * raise.passRows) : ceilDiv(valueSize, 64);
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
      RAISES: raise !== null,
      ...(raise && { ...raise.constants, PASSES: passes }),
    },
    ...(raise && { imports: raise.imports }),
    bindings: { partials: io.partials!, out: io.out, ...(io.sinks && { sinks: io.sinks }), ...raise?.bindings },
    grid: (step) => (splitsOf(step) > 1 ? [heads, blocks, step.tokens] : [0, 0, 0]),
  });
}
