import type { LatentAttention } from '../../config/model-config.ts';
import type { BufferView } from '../../gpu/buffer.ts';
import { foldGrid, type Recorder } from '../../gpu/recording.ts';
import { invariant } from '../../util/assert.ts';
import { weightFormat } from '../../weights/layout.ts';
import type { DeviceMatrix } from '../matrix.ts';
import { assertFits } from './capacity.ts';
import type { HeadsSource } from './heads.ts';
import { PAGE_TOKENS, type KvPages } from './pages.ts';

/** What q, k and v of the step's tokens are made from. */
export interface LatentHeads {
  /** [T, qRow]: H (nope + rope) values at qAt. */
  readonly q: BufferView;
  /** [T, kvUpRow]: at kvUpAt, per head, nope key then value. */
  readonly kvUp: BufferView;
  /** [T, kvDownRow]: at kvDownAt, the latent (kvRank values), then the shared rope key; only the latter is read. May be the buffer of `q`. */
  readonly kvDown: BufferView;
  /** [positions, 2, pairs], from `ropeTable`; at least as many positions as the cache. */
  readonly rope: BufferView;
}

export interface LatentAppend extends LatentHeads {
  readonly qOut: BufferView; // [T, H, nope + rope]
  readonly kCache: BufferView; // [H, capacity, nope + rope]
  readonly vCache: BufferView; // [H, capacity, value]
}

export interface LatentAppendPaged extends LatentHeads {
  readonly qOut: BufferView; // [T, H, nope + rope]
  readonly pages: KvPages;
}

export interface LatentAppendShape {
  readonly attention: LatentAttention;
  /** Positions that the caches hold. */
  readonly capacity: number;
  /** Row lengths and where a row's part starts; default: the part alone. */
  readonly qRow?: number;
  readonly qAt?: number;
  readonly kvUpRow?: number;
  readonly kvUpAt?: number;
  readonly kvDownRow?: number;
  readonly kvDownAt?: number;
}

/** Turns the rope part of q and the shared rope key; per-head k = [nope ; rope]. */
export function latentHeads(
  label: string,
  io: LatentHeads,
  { attention, ...shape }: Omit<LatentAppendShape, 'capacity'>,
): HeadsSource {
  const { heads, nopeSize, ropeSize, valueSize, kvRank, rope } = attention;
  const { qRow = heads * (nopeSize + ropeSize), kvUpRow = heads * (nopeSize + valueSize) } = shape;
  const { qAt = 0, kvUpAt = 0, kvDownAt = 0, kvDownRow = kvRank + ropeSize } = shape;
  const pairs = rope.inverseFrequencies.length;
  invariant(pairs > 0 && 2 * pairs <= ropeSize, `${label}: ${pairs} rotating pairs in a rope part of ${ropeSize}`);
  return {
    module: 'attention/latent_heads',
    constants: {
      RISES: false,
      NOPE: nopeSize,
      ROPE: ropeSize,
      VALUE: valueSize,
      Q_ROW: qRow,
      Q_AT: qAt,
      UP_ROW: kvUpRow,
      UP_AT: kvUpAt,
      DOWN_ROW: kvDownRow,
      KEY_AT: kvDownAt + kvRank,
      PAIRS: pairs,
      INTERLEAVED: rope.interleaved,
    },
    bindings: { q_raw: io.q, kv_up: io.kvUp, down: io.kvDown, rope: io.rope },
  };
}

/** As `LatentHeads`, but nope keys and values are still to be made from the latent. */
export interface RisingHeads {
  /** [T, row]: H (nope + rope) values of q, the latent (kvRank values), the shared rope key. */
  readonly mid: BufferView;
  readonly kvUp: DeviceMatrix; // [H (nope + value), kvRank]: per head, nope key then value
  readonly kvGamma: BufferView; // [kvRank]
  readonly rope: BufferView;
}

/** For the decode kernel, which has the keys and values of one head of one token to make. */
export function risingHeads(
  label: string,
  { mid, kvUp, kvGamma, rope: table }: RisingHeads,
  attention: LatentAttention,
): HeadsSource {
  const { heads, nopeSize, ropeSize, valueSize, kvRank, rope, innerNormEps } = attention;
  const pairs = rope.inverseFrequencies.length;
  const latentAt = heads * (nopeSize + ropeSize);
  invariant(pairs > 0 && 2 * pairs <= ropeSize, `${label}: ${pairs} rotating pairs in a rope part of ${ropeSize}`);
  const { constants, imports } = weightFormat(kvUp.layout, kvUp, false);
  return {
    module: 'attention/latent_heads',
    constants: {
      ...constants,
      RISES: true,
      NOPE: nopeSize,
      ROPE: ropeSize,
      VALUE: valueSize,
      KV_RANK: kvRank,
      EPS: innerNormEps,
      Q_ROW: latentAt + kvRank + ropeSize,
      Q_AT: 0,
      LATENT_AT: latentAt,
      KEY_AT: latentAt + kvRank,
      PAIRS: pairs,
      INTERLEAVED: rope.interleaved,
    },
    imports,
    bindings: { q_raw: mid, values: kvUp.view, kv_gamma: kvGamma, rope: table },
  };
}

/** Makes q, k, v of T tokens; q goes to `qOut`, k and v to the caches at `position`. */
export function latentAppend(recorder: Recorder, label: string, io: LatentAppend, shape: LatentAppendShape): void {
  const { attention, capacity } = shape;
  const { constants, bindings } = latentHeads(label, io, shape);
  recorder.dispatch({
    shader: 'attention/latent_append',
    label,
    constants: { ...constants, HEADS: attention.heads, PAGED: false, CAPACITY: capacity },
    bindings: { ...bindings, q_out: io.qOut, k_cache: io.kCache, v_cache: io.vCache },
    grid: (step) => {
      assertFits(label, step, capacity);
      return foldGrid(step.tokens * attention.heads);
    },
  });
}

/** As `latentAppend`, k and v going to the place in the pages that is each token's. */
export function latentAppendPaged(
  recorder: Recorder,
  label: string,
  io: LatentAppendPaged,
  shape: Omit<LatentAppendShape, 'capacity'>,
): void {
  const { heads } = shape.attention;
  const { constants, bindings } = latentHeads(label, io, shape);
  const { keys, values, rows } = io.pages;
  recorder.dispatch({
    shader: 'attention/latent_append',
    label,
    constants: { ...constants, HEADS: heads, PAGED: true, PAGE: PAGE_TOKENS },
    bindings: { ...bindings, q_out: io.qOut, k_cache: keys, v_cache: values, rows },
    grid: (step) => foldGrid(step.tokens * heads),
  });
}
