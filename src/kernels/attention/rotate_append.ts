import type { GroupedAttention } from '../../config/model-config.ts';
import type { BufferView } from '../../gpu/buffer.ts';
import { foldGrid, type Recorder } from '../../gpu/recording.ts';
import { invariant } from '../../util/assert.ts';
import { assertFits } from './capacity.ts';
import type { HeadsSource } from './heads.ts';

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
  readonly kCache: BufferView; // [Hk, capacity, A]
  readonly vCache: BufferView; // [Hk, capacity, A]
}

export interface RotateAppendShape {
  readonly attention: GroupedAttention;
  /** Positions that the caches hold. */
  readonly capacity: number;
  readonly normEps: number;
}

/** Norms, clamps and turns q, k, v as the config says. */
export function groupedHeads(
  label: string,
  { qkv, qGamma, kGamma, rope }: GroupedHeads,
  { attention, normEps }: Omit<RotateAppendShape, 'capacity'>,
): HeadsSource {
  const { heads, kvHeads, headSize, qkNorm, clip, outputGate = false, temperature } = attention;
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
      QKV_ROW: ((outputGate ? 2 : 1) * heads + 2 * kvHeads) * headSize,
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

/** Makes q, k, v of T tokens as the config says; q goes to `q`, k and v to the caches at `position`. */
export function rotateAppend(recorder: Recorder, label: string, io: RotateAppend, shape: RotateAppendShape): void {
  const { attention, capacity } = shape;
  const { heads, kvHeads } = attention;
  const { constants, bindings } = groupedHeads(label, io, shape);
  recorder.dispatch({
    shader: 'attention/rotate_append',
    label,
    constants: { ...constants, HEADS: heads, KV_HEADS: kvHeads, CAPACITY: capacity },
    bindings: { ...bindings, q: io.q, k_cache: io.kCache, v_cache: io.vCache },
    grid: (step) => {
      assertFits(label, step, capacity);
      return foldGrid(step.tokens * (heads + 2 * kvHeads));
    },
  });
}
