/** Latent attention as attention over the latents themselves: see shaders/attention/kv_up.wgsl. */
import type { KvFormat } from '../../config/kv-format.ts';
import type { LatentAttention } from '../../config/model-config.ts';
import type { BufferView } from '../../gpu/buffer.ts';
import { foldGrid, type DispatchSpec, type Recorder } from '../../gpu/recording.ts';
import type { Constants } from '../../gpu/shader.ts';
import { invariant } from '../../util/assert.ts';
import { ceilDiv } from '../../util/math.ts';
import { planes, weightFormat } from '../../weights/layout.ts';
import { inputConstants } from '../linear/x_rows.ts';
import type { DeviceMatrix } from '../matrix.ts';
import type { Phase } from '../phase.ts';
import { assertFits } from './capacity.ts';
import type { HeadsSource, RaisedHeads } from './heads.ts';
import { kvAccess, kvFlags } from './kv_format.ts';
import { PAGE_TOKENS, type KvPages } from './pages.ts';

/** W_kvb of some heads, [heads (nope + value), kvRank]: per head the rows of its nope key, then those of its value. */
export interface KvUp {
  readonly matrix: DeviceMatrix;
  readonly firstHead: number;
}

/** Tokens of a lane in prompts. */
const BLOCK_TOKENS = 4;
const ABSORB_LANES = 64;
const RAISE_LANES = 16;

/** Values of one token in the cache, and of a query for it. */
export const latentRow = ({ kvRank, ropeSize }: LatentAttention): number => kvRank + ropeSize;

function rowConstants(label: string, attention: LatentAttention, downRow: number, latentAt: number): Constants {
  const { ropeSize, innerNormEps, rope } = attention;
  const pairs = rope.inverseFrequencies.length;
  invariant(pairs > 0 && 2 * pairs <= ropeSize, `${label}: ${pairs} rotating pairs in a rope part of ${ropeSize}`);
  return {
    ROPE: ropeSize,
    DOWN_ROW: downRow,
    LATENT_AT: latentAt,
    EPS: innerNormEps,
    PAIRS: pairs,
    INTERLEAVED: rope.interleaved,
  };
}

const matrixConstants = ({ nopeSize, valueSize, kvRank }: LatentAttention): Constants => ({
  NOPE: nopeSize,
  VALUE: valueSize,
  KV_RANK: kvRank,
});

/** For attention_reduce, and attention_decode where nothing is left to join. */
function raisedHeads(matrix: DeviceMatrix, attention: LatentAttention): RaisedHeads {
  const format = weightFormat(matrix.layout, matrix, false);
  const { chunks } = planes(matrix.layout, matrix);
  const team = [16, 8, 4, 2].find((lanes) => lanes <= chunks) ?? 1;
  return {
    valueSize: attention.valueSize,
    passRows: (64 / team) * 4,
    constants: { ...format.constants, ...matrixConstants(attention), TEAM: team },
    imports: format.imports,
    bindings: { values: matrix.view },
  };
}

/** What a decode step's queries and latents are made from. */
export interface LatentHeads {
  /** [T, row]: H (nope + rope) values of q, the latent (kvRank values), the shared rope key. */
  readonly mid: BufferView;
  readonly kvUp: DeviceMatrix;
  readonly kvGamma: BufferView; // [kvRank]
  /** [positions, 2, pairs], from `ropeTable`; at least as many positions as the cache. */
  readonly rope: BufferView;
}

/** Whether the decode kernel can take such heads: it handles latents four values at a time. */
export const canAbsorbInside = ({ kvRank, ropeSize }: LatentAttention): boolean =>
  kvRank % 4 === 0 && ropeSize % 4 === 0;

/** For the decode kernel, which takes queries down and results up itself. */
export function latentHeads(
  label: string,
  { mid, kvUp, kvGamma, rope }: LatentHeads,
  attention: LatentAttention,
): HeadsSource {
  const { heads, nopeSize, ropeSize } = attention;
  const latentAt = heads * (nopeSize + ropeSize);
  const row = latentAt + latentRow(attention);
  const raise = raisedHeads(kvUp, attention);
  return {
    module: 'attention/latent_heads',
    constants: { ...raise.constants, ...rowConstants(label, attention, row, latentAt), Q_ROW: row },
    imports: raise.imports,
    bindings: { q_raw: mid, values: kvUp.view, kv_gamma: kvGamma, rope },
    raise,
  };
}

/** Latents of one sequence. */
export interface LatentCache {
  readonly keys: BufferView; // [capacity, kvRank + rope] in the format
  readonly capacity: number;
  readonly format: KvFormat;
}

/** How the step's own rows are written. */
function cacheAccess(
  cache: LatentCache | KvPages,
  size: number,
): Required<Pick<DispatchSpec, 'constants' | 'imports'>> {
  const isPaged = 'rows' in cache;
  const kv = isPaged ? 'f32' : cache.format;
  const { constants, imports } = kvAccess(kv, 'k_', { size, quads: size % 4 === 0, writes: true });
  const place = isPaged ? { PAGED: true, PAGE: PAGE_TOKENS } : { PAGED: false, CAPACITY: cache.capacity };
  return { constants: { ...constants, ...place, SCALED: kvFlags(kv).SCALED }, imports };
}

export interface LatentAbsorb {
  /** [T, qRow]: H (nope + rope) values. */
  readonly q: BufferView;
  /** [T, downRow]: at latentAt the latent, then the shared rope key. May be the buffer of `q`. */
  readonly down: BufferView;
  readonly kvUp: KvUp;
  readonly kvGamma: BufferView;
  readonly rope: BufferView;
  readonly out: BufferView; // [T, H, kvRank + rope]
  readonly cache: LatentCache | KvPages;
}

export interface LatentShape {
  readonly attention: LatentAttention;
  /** `prefill` reads the matrix once for four tokens. */
  readonly phase: Phase;
}

export interface LatentAbsorbShape extends LatentShape {
  readonly qRow: number;
  readonly downRow: number;
  readonly latentAt: number;
}

const headsOf = ({ matrix }: KvUp, { nopeSize, valueSize }: LatentAttention): number =>
  matrix.rows / (nopeSize + valueSize);

/** Queries for attention over latents of the heads of `kvUp`; with the first of them, the step's latents go to the cache. */
export function latentAbsorb(recorder: Recorder, label: string, io: LatentAbsorb, shape: LatentAbsorbShape): void {
  const { attention, phase, qRow, downRow, latentAt } = shape;
  const { kvUp, cache } = io;
  const { constants, imports } = weightFormat(
    kvUp.matrix.layout,
    kvUp.matrix,
    recorder.gpu.facts.kernels === 'software',
  );
  const { chunks } = planes(kvUp.matrix.layout, kvUp.matrix);
  const size = latentRow(attention);
  const access = cacheAccess(cache, size);
  const own = headsOf(kvUp, attention);
  const block = phase === 'prefill' ? BLOCK_TOKENS : 1;
  recorder.dispatch({
    shader: 'attention/latent_absorb',
    label,
    constants: {
      ...constants,
      ...matrixConstants(attention),
      ...rowConstants(label, attention, downRow, latentAt),
      ...access.constants,
      HEADS: attention.heads,
      HEAD_AT: kvUp.firstHead,
      OWN_HEADS: own,
      Q_ROW: qRow,
      APPENDS: Number(kvUp.firstHead === 0),
      UNITS_OF_4: size % 4 === 0,
      BLOCK: block > 1,
    },
    imports: { ...imports, ...access.imports },
    bindings: {
      q_raw: io.q,
      down: io.down,
      values: kvUp.matrix.view,
      kv_gamma: io.kvGamma,
      rope: io.rope,
      q_out: io.out,
      k_cache: cache.keys,
      ...('rows' in cache && { rows: cache.rows }),
    },
    grid: (step) => {
      if ('capacity' in cache) assertFits(label, step, cache.capacity);
      return foldGrid(1 + ceilDiv(own * (chunks + 1), ABSORB_LANES), ceilDiv(step.tokens, block));
    },
  });
}

export interface LatentRaise {
  readonly attended: BufferView; // [T, H, kvRank]
  readonly kvUp: KvUp;
  readonly out: BufferView; // [T, H, value]
}

/** out[t, h] = W_v attended[t, h], for the heads of `kvUp`. */
export function latentRaise(
  recorder: Recorder,
  label: string,
  { attended, kvUp, out }: LatentRaise,
  { attention, phase }: LatentShape,
): void {
  const { heads, kvRank, nopeSize, valueSize } = attention;
  const { constants, imports } = weightFormat(
    kvUp.matrix.layout,
    kvUp.matrix,
    recorder.gpu.facts.kernels === 'software',
  );
  const own = headsOf(kvUp, attention);
  const [block, rows] = phase === 'prefill' ? [BLOCK_TOKENS, 8] : [1, 4];
  recorder.dispatch({
    shader: 'attention/latent_raise',
    label,
    constants: {
      ...constants,
      ...inputConstants(kvRank, { xRow: kvRank, xAt: 0 }),
      N: kvUp.matrix.rows,
      GAMMA: false,
      BLOCK: block > 1,
      HEADS: heads,
      HEAD_AT: kvUp.firstHead,
      OWN_HEADS: own,
      NOPE: nopeSize,
      VALUE: valueSize,
    },
    imports,
    bindings: { x: attended, values: kvUp.matrix.view, out },
    grid: ({ tokens }) => foldGrid(ceilDiv(own * ceilDiv(valueSize, rows), RAISE_LANES), ceilDiv(tokens, block)),
  });
}
