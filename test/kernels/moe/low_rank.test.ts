/** What an adapter adds to the chosen experts, against its twins: some experts have maps and some have none. */
import { describe, expect, it } from 'vitest';
import type { Activation } from '../../../src/config/model-config.ts';
import type { BufferView } from '../../../src/gpu/buffer.ts';
import type { Gpu } from '../../../src/gpu/gpu.ts';
import type { Recorder } from '../../../src/gpu/recording.ts';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { lowRankAct, lowRankDown, lowRankSum, UNCHANGED } from '../../../src/kernels/moe/low_rank.ts';
import {
  lowRankAct as actTwin,
  lowRankDown as downTwin,
  lowRankSum as sumTwin,
  type LowRankMaps,
  type LowRankPair,
} from '../../../src/reference/moe/low_rank.ts';
import { asF32, expectClose, expectMutantToFail, POISON, runKernel } from '../../support/conformance.ts';
import { openTestGpu, pretend } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';
import { chooseExperts, routedWords } from './arena.ts';

const gpu = await openTestGpu({ defaultLimits: true });
const software = pretend(gpu, true);
const [EXPERTS, TOP_K, RANK] = [5, 2, 3];
/** Of the experts, those with maps: in another order than their places. */
const CHANGED = [3, 0, 4];
/** A row of up to 150 products, and an exponential. */
const BOUND = 1e-5;

type Views = Readonly<Record<string, BufferView>>;

function setUp(tokens: number): {
  readonly ids: Uint32Array<ArrayBuffer>;
  readonly weights: Float32Array<ArrayBuffer>;
  readonly inputs: { readonly routed: Uint32Array; readonly places: Uint32Array; readonly rowOfPair: Uint32Array };
} {
  const ids = chooseExperts(7, tokens, EXPERTS, TOP_K);
  const weights = normals(8, ids.length, 0.5);
  const places = Uint32Array.from({ length: EXPERTS }, (_, e) => {
    const at = CHANGED.indexOf(e);
    return at < 0 ? UNCHANGED : at;
  });
  // Any order of rows that is not the pairs'.
  const rowOfPair = Uint32Array.from(ids, (_, p) => ids.length - 1 - p);
  return { ids, weights, inputs: { routed: routedWords(ids, weights, TOP_K), places, rowOfPair } };
}

/** A [R, cols] and B [rows, R] of every changed expert. */
const mapsOf = (rows: number, cols: number, seed = 20): LowRankMaps[] =>
  CHANGED.map((e) => ({ a: normals(seed + e, RANK * cols, 0.3), b: normals(seed + 40 + e, rows * RANK, 0.3) }));

const pairsOf = (ids: Uint32Array, maps: readonly LowRankMaps[], rowOf: (p: number) => number): LowRankPair[] =>
  Array.from(ids, (e, p) => ({ row: rowOf(p), maps: maps[CHANGED.indexOf(e)] ?? null }));

const flat = (all: readonly ArrayLike<number>[]): Float32Array =>
  Float32Array.from(all.flatMap((a) => [...(a as Float32Array)]));
/** B [N, R] with its columns first. */
const turned = (b: ArrayLike<number>, rows: number): number[] =>
  Array.from({ length: RANK * rows }, (_, i) => b[(i % rows) * RANK + Math.floor(i / rows)]!);

/** Rows [P, size] whose pair has maps; the others still hold what every output starts with. */
function expectChanged(got: Uint32Array<ArrayBuffer>, want: Float64Array, ids: Uint32Array): void {
  const size = got.length / ids.length;
  const has = (_: unknown, i: number): boolean => CHANGED.includes(ids[Math.floor(i / size)]!);
  expectClose(asF32(got).filter(has), want.filter(has), BOUND, 'hidden');
  expect([...got].every((word, i) => has(0, i) || word === POISON)).toBe(true);
}

async function run(
  on: Gpu,
  tokens: number,
  inputs: Readonly<Record<string, Float32Array | Uint32Array>>,
  size: number,
  record: (r: Recorder, v: Views) => void,
): Promise<Uint32Array<ArrayBuffer>> {
  const got = await runKernel(on, { inputs, outputs: { out: size }, step: { tokens, position: 0 }, record });
  return got.out!;
}

const common = (v: Views): { maps: BufferView; places: BufferView; routed: BufferView } => ({
  maps: v.maps!,
  places: v.places!,
  routed: v.routed!,
});

const checks = {
  'moe/low_rank_down': async (on: Gpu, order: 'token' | 'row' | 'pair', tokens = 4, cols = 150): Promise<void> => {
    const { ids, inputs } = setUp(tokens);
    const maps = mapsOf(1, cols);
    const x = normals(9, (order === 'token' ? tokens : ids.length) * cols);
    const rowOf = (p: number): number =>
      order === 'token' ? Math.floor(p / TOP_K) : order === 'row' ? inputs.rowOfPair[p]! : p;
    const words = { ...inputs, x, maps: flat(maps.map(({ a }) => a)) };
    const got = await run(on, tokens, words, ids.length * RANK, (r, v) => {
      const io = { ...common(v), x: v.x!, hidden: v.out!, ...(order === 'row' && { row_of_pair: v.rowOfPair! }) };
      lowRankDown(r, order, io, { topK: TOP_K, rank: RANK, cols, byToken: order === 'token' });
    });
    expectChanged(got, downTwin(x, pairsOf(ids, maps, rowOf), { rank: RANK, cols }), ids);
  },
  'moe/low_rank_act': async (on: Gpu, order: 'row' | 'pair', activation: Activation, width = 70): Promise<void> => {
    const tokens = 4;
    const { ids, inputs } = setUp(tokens);
    const halves = [mapsOf(width, 1, 100), mapsOf(width, 1, 200)];
    const pairs = halves.map((maps) => pairsOf(ids, maps, (p) => p));
    const hidden = [normals(12, ids.length * RANK), normals(13, ids.length * RANK)].map((h) => Float64Array.from(h));
    const products = normals(14, ids.length * 2 * width);
    const size = { rank: RANK, width, activation };
    const want = actTwin(products, pairs, hidden, size);
    const row = want.length / ids.length;
    const inRows = <T extends Float32Array | Float64Array>(values: T, each: number): T => {
      const out = values.slice() as T;
      if (order === 'row')
        inputs.rowOfPair.forEach((to, p) => out.set(values.subarray(p * each, (p + 1) * each), to * each));
      return out;
    };
    const words = {
      ...inputs,
      pairs: inRows(products, 2 * width),
      hidden: flat(Array.from(ids, (_, p) => hidden.flatMap((h) => [...h.subarray(p * RANK, (p + 1) * RANK)]))),
      // Of each rank the gates, then the ups.
      maps: flat(
        CHANGED.map((_, at) => {
          const [gate, up] = halves.map((maps) => turned(maps[at]!.b, width));
          return Array.from({ length: RANK }, (__, r) =>
            [gate!, up!].flatMap((half) => half.slice(r * width, (r + 1) * width)),
          ).flat();
        }),
      ),
    };
    const got = await run(on, tokens, words, want.length, (r, v) => {
      const io = { ...common(v), hidden: v.hidden!, pairs: v.pairs!, act: v.out! };
      lowRankAct(r, order, order === 'row' ? { ...io, row_of_pair: v.rowOfPair! } : io, { topK: TOP_K, ...size });
    });
    expectClose(asF32(got), inRows(want, row), BOUND, order);
  },
  'moe/low_rank_sum': async (on: Gpu, alone: boolean, unweighted = false, hidden = 70): Promise<void> => {
    const tokens = 4;
    const { ids, weights, inputs } = setUp(tokens);
    const maps = mapsOf(hidden, 1);
    const low = normals(15, ids.length * RANK);
    const residual = normals(16, tokens * hidden);
    const words = { ...inputs, low, residual, maps: flat(maps.map(({ b }) => turned(b, hidden))) };
    const size = { topK: TOP_K, rank: RANK, hidden, scale: 0.22 };
    const got = await run(on, tokens, words, tokens * hidden, (r, v) => {
      const io = { ...common(v), hidden: v.low!, out: v.out! };
      lowRankSum(r, 'sum', alone ? io : { ...io, residual: v.residual! }, { ...size, unweighted });
    });
    const io = {
      hidden: Float64Array.from(low),
      pairs: pairsOf(ids, maps, (p) => p),
      weights: unweighted ? weights.map(() => 1) : weights,
      residual: alone ? null : residual,
    };
    expectClose(asF32(got), sumTwin(io, size), BOUND, 'sum');
  },
};

const SILU: Activation = { kind: 'silu' };
const SQUARED: Activation = { kind: 'relu-squared' };

describe('moe/low_rank_down', () => {
  it.each(['token', 'row', 'pair'] as const)('reads x by %s', (order) => checks['moe/low_rank_down'](gpu, order));
  it('on a software adapter; of one token, of one column', async () => {
    await checks['moe/low_rank_down'](software, 'row');
    await checks['moe/low_rank_down'](gpu, 'token', 1, 1);
  });
});

describe('moe/low_rank_act', () => {
  it('adds before the activation, in either order', async () => {
    await checks['moe/low_rank_act'](gpu, 'pair', SILU);
    await checks['moe/low_rank_act'](gpu, 'row', SQUARED);
  });
});

describe('moe/low_rank_sum', () => {
  it('weighs what each expert adds', async () => {
    await checks['moe/low_rank_sum'](gpu, false);
    await checks['moe/low_rank_sum'](gpu, true, true);
  });
});

describe('mutants', () => {
  const fails = (path: string, change: string, check: () => Promise<void>): Promise<void> => {
    const [from, to] = change.split('=>') as [string, string];
    return expectMutantToFail(gpu, shaderText, path, (text) => text.replace(from, to), check);
  };

  it.each([
    ['moe/low_rank_down', 'place * R + min=>min'],
    ['moe/low_rank_down', 'place == UNCHANGED=>false'],
    ['moe/low_rank', 'return row_of_pair[pair]=>return pair'],
    ['moe/low_rank_down', 'parts[lane * PARTS + p]=>parts[lane * PARTS]'],
    ['moe/low_rank', '2u * t * TOP_K + k=>2u * t * TOP_K'],
  ])('%s with %s', (path, change) => fails(path, change, () => checks['moe/low_rank_down'](gpu, 'row')));

  it.each([
    'hidden[(2u * pair + 1u) * R + r]=>hidden[2u * pair * R + r]',
    'maps[at + F]=>maps[at]',
    'row_of(pair)=>pair',
  ])('moe/low_rank_act with %s', (change) =>
    fails('moe/low_rank_act', change, () => checks['moe/low_rank_act'](gpu, 'row', SILU)),
  );

  it.each(['sum *= OUT_SCALE=>sum *= 1.0', '(2u * t + 1u)=>(2u * t)', 'sum += residual[t * D + d]=>sum += 0.0'])(
    'moe/low_rank_sum with %s',
    (change) => fails('moe/low_rank_sum', change, () => checks['moe/low_rank_sum'](gpu, false)),
  );
});
