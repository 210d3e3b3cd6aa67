import { gateRows } from '../../config/mixers.ts';
import type { KvFormat } from '../../config/kv-format.ts';
import type { GroupedAttention } from '../../config/model-config.ts';
import type { BufferView } from '../../gpu/buffer.ts';
import { foldGrid, type DispatchSpec, type Recorder } from '../../gpu/recording.ts';
import { invariant } from '../../util/assert.ts';
import { assertFits } from './capacity.ts';
import type { HeadsSource } from './heads.ts';
import { kvAccess, kvFlags } from './kv_format.ts';
import { PAGE_TOKENS, type KvPages } from './pages.ts';

/** What q, k and v of the step's tokens are made from. */
export interface GroupedHeads {
  /** [T, (H + 2 Hk) A]: a token's q heads, k heads, v heads; with an output gate that of the q heads behind them. */
  readonly qkv: BufferView;
  /** Given exactly when the config norms q and k with gains: [A], or [H A] and [Hk A] when it norms the whole projection. */
  readonly qGamma?: BufferView;
  readonly kGamma?: BufferView;
  /** [positions, 2, pairs], from `ropeTable`; at least as many positions as the cache. */
  readonly rope: BufferView;
}

export interface RotateAppend extends GroupedHeads {
  readonly q: BufferView; // [T, H, A]
  readonly kCache: BufferView; // [Hk, capacity, A] in the format `kv`
  readonly vCache: BufferView; // [Hk, capacity, A] in the format `kv`
}

export interface RotateAppendPaged extends GroupedHeads {
  readonly q: BufferView; // [T, H, A]
  readonly pages: KvPages;
}

export interface RotateAppendShape {
  readonly attention: GroupedAttention;
  /** Positions that the caches hold. */
  readonly capacity: number;
  readonly normEps: number;
  /** Default `f32`. */
  readonly kv?: KvFormat | undefined;
}

/** Norms, clamps and turns q, k, v as the config says. */
export function groupedHeads(
  label: string,
  { qkv, qGamma, kGamma, rope }: GroupedHeads,
  { attention, normEps }: Omit<RotateAppendShape, 'capacity' | 'kv'>,
): HeadsSource {
  const { heads, kvHeads, headSize, qkNorm, clip, temperature } = attention;
  const { inverseFrequencies, interleaved } = attention.rope;
  const pairs = inverseFrequencies.length;
  const normed = qkNorm !== 'none';
  const { qkGains: gains = normed, valueNorm = false } = attention;
  invariant(!valueNorm || qkNorm.startsWith('per-head'), `${label}: a norm of v without one per head of q and k`);
  invariant(gains === (qGamma !== undefined) && gains === (kGamma !== undefined), `${label}: gammas and norm disagree`);
  invariant(2 * pairs <= headSize, `${label}: more rotating dimensions than the head has`);
  const stretch = (ofHeads: number): number => (qkNorm === 'full' ? ofHeads * headSize : headSize);
  return {
    module: 'attention/grouped_heads',
    constants: {
      SIZE: headSize,
      QKV_ROW: (heads + 2 * kvHeads) * headSize + gateRows(attention),
      ROTATED: pairs > 0,
      ...(pairs > 0 && { PAIRS: pairs, INTERLEAVED: interleaved }),
      NORMED: normed,
      NORM_ROTATED: qkNorm === 'per-head-rotated',
      ...(normed && {
        GAINS: gains,
        VALUE_NORMED: valueNorm,
        Q_NORM: stretch(heads),
        K_NORM: stretch(kvHeads),
        EPS: normEps,
      }),
      TEMPERED: temperature !== undefined,
      ...(temperature && { HEAT: temperature.scale, HEAT_EVERY: temperature.every }),
      CLIPPED: clip !== null,
      ...(clip !== null && { CLIP: clip }),
    },
    bindings: {
      qkv,
      ...(pairs > 0 && { rope }),
      ...(qGamma && { q_gamma: qGamma }),
      ...(kGamma && { k_gamma: kGamma }),
    },
  };
}

/** How both caches are written. */
function cacheAccess(
  kv: KvFormat,
  { headSize: size }: GroupedAttention,
): Required<Pick<DispatchSpec, 'constants' | 'imports'>> {
  const use = { size, quads: false, writes: true };
  const [k, v] = [kvAccess(kv, 'k_', use), kvAccess(kv, 'v_', use)];
  const { PACKED, SCALED } = kvFlags(kv);
  return {
    constants: { ...k.constants, ...v.constants, PACKED, ...(PACKED && { SCALED }) },
    imports: { ...k.imports, ...v.imports },
  };
}

/** As `rotateAppend`, k and v going to the place in the pages that is each token's. */
export function rotateAppendPaged(
  recorder: Recorder,
  label: string,
  io: RotateAppendPaged,
  shape: Omit<RotateAppendShape, 'capacity'>,
): void {
  const { heads, kvHeads } = shape.attention;
  const { constants, bindings } = groupedHeads(label, io, shape);
  const { keys, values, rows } = io.pages;
  const cache = cacheAccess('f32', shape.attention);
  recorder.dispatch({
    shader: 'attention/rotate_append',
    label,
    constants: {
      ...constants,
      ...cache.constants,
      HEADS: heads,
      KV_HEADS: kvHeads,
      PAGED: true,
      PAGE: PAGE_TOKENS,
    },
    imports: cache.imports,
    bindings: { ...bindings, q: io.q, k_cache: keys, v_cache: values, rows },
    grid: (step) => foldGrid(step.tokens * (heads + 2 * kvHeads)),
  });
}

/** Makes q, k, v of T tokens as the config says; q goes to `q`, k and v to the caches at `position`. */
export function rotateAppend(recorder: Recorder, label: string, io: RotateAppend, shape: RotateAppendShape): void {
  const { attention, capacity, kv = 'f32' } = shape;
  const { heads, kvHeads } = attention;
  const { constants, bindings } = groupedHeads(label, io, shape);
  const cache = cacheAccess(kv, attention);
  recorder.dispatch({
    shader: 'attention/rotate_append',
    label,
    constants: {
      ...constants,
      ...cache.constants,
      HEADS: heads,
      KV_HEADS: kvHeads,
      PAGED: false,
      CAPACITY: capacity,
    },
    imports: cache.imports,
    bindings: { ...bindings, q: io.q, k_cache: io.kCache, v_cache: io.vCache },
    grid: (step) => {
      assertFits(label, step, capacity);
      return foldGrid(step.tokens * (heads + 2 * kvHeads));
    },
  });
}
