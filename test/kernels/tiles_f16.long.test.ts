/**
 * Tiles of many tokens in f16, by the lanes and by subgroup matrices, on an adapter that has them. On others only the choice is tested: their tiles are those of
 * f32, which have tests of their own.
 */
import { describe, expect, it } from 'vitest';
import type { Gpu } from '../../src/gpu/gpu.ts';
import { shaderText } from '../../src/gpu/shaders.gen.ts';
import { glu } from '../../src/kernels/linear/glu.ts';
import { linear } from '../../src/kernels/linear/linear.ts';
import { tileConstants } from '../../src/kernels/linear/products.ts';
import { besideAt } from '../../src/kernels/moe/beside.ts';
import { expertDown } from '../../src/kernels/moe/expert_down.ts';
import { expertUp } from '../../src/kernels/moe/expert_up.ts';
import { TILE_SIZES, type TileRows } from '../../src/kernels/moe/group.ts';
import { BESIDE_RUNS, slotLayout } from '../../src/moe/slots.ts';
import { glu as gluTwin } from '../../src/reference/linear/glu.ts';
import { linear as linearTwin } from '../../src/reference/linear/linear.ts';
import { expertDown as expertDownTwin } from '../../src/reference/moe/expert_down.ts';
import { expertUp as expertUpTwin } from '../../src/reference/moe/expert_up.ts';
import { group as groupTwin } from '../../src/reference/moe/group.ts';
import { decodeMatrix, encodeMatrix } from '../../src/reference/weights.ts';
import { layoutName, type Layout } from '../../src/weights/layout.ts';
import { asF32, expectClose, expectMutantToFail, runKernel } from '../support/conformance.ts';
import { openTestGpu } from '../support/gpu.ts';
import { normals } from '../support/random.ts';
import { assign, chooseExperts, makeArena } from './moe/arena.ts';

const plain = await openTestGpu();
const hasF16 = plain.facts.features.has('shader-f16');
const opened = hasF16 ? await openTestGpu({ arithmetic: 'f16' }) : plain;
const facts = { ...opened.facts, kernels: 'gpu', arithmetic: 'f16', matrices: null } as const;
const lanes = opened.share(facts);
const { matrices } = opened.facts;
const byMatrices = matrices && opened.share({ ...facts, matrices });
if (hasF16 && !matrices) console.log('the adapter shows no subgroup matrices: their cases do not run');

/** How tiles are multiplied, and by how much of their RMS results may be off. */
interface Tiles {
  readonly gpu: Gpu;
  readonly bound: number;
}

/** 2^-11 for an input, and for each of at most 9 roundings of a partial sum. */
const LANES_BOUND = 5e-3;
/** 2^-11 at most for an input; four times that, because roundings of a sum may have one sign. */
const MATRICES_BOUND = 2e-3;
const SILU = { kind: 'silu' } as const;
const int = (bits: 4 | 8, group: number, zeros: boolean): Layout => ({ kind: 'int', bits, group, scale: 'f16', zeros });
const INT4 = int(4, 32, false);
const LAYOUTS: readonly Layout[] = [INT4, int(4, 64, true), int(8, 32, false), { kind: 'mxfp4' }];

/** Halves of chunks of very different size, many too large for f16, and one of zeros. */
const inputs = (tokens: number, cols: number): Float32Array<ArrayBuffer> =>
  normals(3, tokens * cols).map((v, i) => {
    const half = Math.floor((i % cols) / 16);
    return half === 3 ? 0 : v * 2 ** (half % 4 === 1 ? 19 : 17);
  });

/** Two tiles of tokens and of rows, the last ones not full. */
async function checkLinear(
  { gpu, bound }: Tiles,
  layout: Layout,
  normed = false,
  kernel: 'linear' | 'glu' = 'linear',
): Promise<void> {
  const [tokens, rows, cols] = [33, 70, 176];
  const [x, gamma] = [inputs(tokens, cols), normals(4, cols, 0.2, 1)];
  const words = encodeMatrix(normals(1, rows * cols, 0.5), layout, { rows, cols });
  const width = kernel === 'glu' ? rows / 2 : rows;
  const eps = normed ? { eps: 1e-5 } : {};
  const got = await runKernel(gpu, {
    inputs: { x, words, gamma },
    outputs: { out: tokens * width },
    step: { tokens, position: 0 },
    record: (r, v) => {
      const weights = { view: v.words!, layout, rows, cols };
      const io = { x: v.x!, weights, out: v.out!, ...(normed && { gamma: v.gamma! }) };
      if (kernel === 'linear') linear(r, kernel, io, { phase: 'prefill', ...eps });
      else glu(r, kernel, io, { phase: 'prefill', activation: SILU, ...eps });
    },
  });
  const input = { x, weights: decodeMatrix(words, layout, { rows, cols }), ...(normed && { gamma }) };
  const size = { tokens, cols, ...eps };
  const expected =
    kernel === 'linear' ? linearTwin(input, { ...size, rows }) : gluTwin(input, SILU, { ...size, width });
  // Gate and up are both off, and their product with them: twice.
  expectClose(asF32(got.out!), expected, (kernel === 'glu' ? 2 : 1) * bound, `${kernel} of ${layoutName(layout)}`);
}

/** Tiles that are full and that are not, of two experts, and the expert beside them. */
async function checkExperts(tiled: Tiles, part: 'up' | 'down', tileRows: TileRows): Promise<void> {
  const [hidden, width, experts, topK] = [80, 48, 2, 1];
  const tokens = 2 * tileRows + 5;
  const slot = slotLayout({ hidden, width, gateUp: INT4, down: INT4, bias: true });
  const arena = makeArena(slot, experts);
  const ids = chooseExperts(7, tokens, experts, topK);
  const grouping = groupTwin(ids, experts, tileRows);
  const tiles = new Uint32Array([grouping.tiles.length, 0, 0, 0, ...grouping.tiles.flatMap((tile) => [...tile, 0])]);
  const up = part === 'up';
  const [input, own] = [normals(9, tokens * (up ? hidden : width)), normals(10, tokens * width)];
  const besideShapes = { gateUp: { rows: 2 * width, cols: hidden }, down: { rows: hidden, cols: width } };
  const shape = besideShapes[up ? 'gateUp' : 'down'];
  const words = encodeMatrix(normals(2, shape.rows * shape.cols, 0.3), INT4, shape);
  const at = { actAt: besideAt(tokens, width), yAt: besideAt(tokens, hidden) };
  const outRow = up ? width : hidden;
  const got = await runKernel(tiled.gpu, {
    inputs: {
      ...{ words, tiles, arena: arena.words, slotTable: new Uint32Array([...arena.slotTable, BESIDE_RUNS]) },
      input: up ? input : Float32Array.from([...input, ...own]),
      pairOfRow: Uint32Array.from(grouping.pairOfRow),
    },
    outputs: { out: 2 * tokens * outRow },
    step: { tokens, position: 0 },
    record: (r, v) => {
      const matrix = (p: 'gateUp' | 'down') => ({ view: v.words!, layout: INT4, ...besideShapes[p] });
      const beside = { gateUp: matrix('gateUp'), down: matrix('down'), ...at };
      const home = { arena: v.arena!, slotTable: v.slotTable!, tiles: v.tiles! };
      const all = { experts, topK, slot, tileRows, beside };
      if (up) {
        const io = { ...home, x: v.input!, pairOfRow: v.pairOfRow!, act: v.out! };
        expertUp(r, part, io, { ...all, activation: SILU });
      } else expertDown(r, part, { ...home, act: v.input!, y: v.out! }, all);
    },
  });
  const rows = assign(arena, ids, (pair) => pair);
  const byPair = up
    ? expertUpTwin(input, rows, SILU, { hidden, width })
    : expertDownTwin(rowsOf(input, grouping.rowOfPair, width), rows, { hidden, width });
  const expected = rowsOf(byPair, grouping.pairOfRow, outRow);
  const weights = decodeMatrix(words, INT4, shape);
  const beside = up
    ? gluTwin({ x: input, weights }, SILU, { tokens, width, cols: hidden })
    : linearTwin({ x: own, weights }, { tokens, ...shape });
  const out = asF32(got.out!);
  const bound = (up ? 2 : 1) * tiled.bound;
  expectClose(out.subarray(0, tokens * outRow), expected, bound, `${part}, tiles of ${tileRows}`);
  expectClose(out.subarray(tokens * outRow), beside, bound, `beside ${part}, tiles of ${tileRows}`);
}

/** Row i of the result is row order[i]. */
function rowsOf(values: ArrayLike<number>, order: ArrayLike<number>, size: number): Float64Array {
  return Float64Array.from({ length: order.length * size }, (_, i) => {
    return values[order[Math.floor(i / size)]! * size + (i % size)]!;
  });
}

const matrix = (layout: Layout) => ({ view: null as never, layout, rows: 1, cols: 32 });

describe('tiles', () => {
  const f16 = (...args: Parameters<typeof tileConstants>): unknown => tileConstants(...args).F16;

  it('are in f16 for weights that are bytes, and where such an expert is beside them', () => {
    expect(LAYOUTS.map((layout) => f16(layout, undefined, facts))).toEqual([true, true, true, true]);
    expect(f16({ kind: 'bf16' }, undefined, facts)).toBe(false);
    expect(f16(INT4, matrix(INT4), facts)).toBe(true);
    expect(f16(INT4, matrix({ kind: 'bf16' }), facts)).toBe(false);
    expect(f16(INT4, undefined, { ...facts, arithmetic: 'f32' })).toBe(false);
    expect(f16(INT4, undefined, { ...facts, kernels: 'software' })).toBe(false);
  });

  it('are multiplied by subgroup matrices where they would be in f16 and the adapter has some', () => {
    const has = { ...facts, matrices: { m: 8, n: 16, k: 16 } };
    const expected = { F16: true, MATRICES: true, MATRIX_M: 8, MATRIX_N: 16, MATRIX_K: 16 };
    expect(tileConstants(INT4, undefined, has)).toEqual(expected);
    for (const other of [{ arithmetic: 'f32' }, { kernels: 'software' }] as const)
      expect(tileConstants(INT4, undefined, { ...has, ...other })).toEqual({ F16: false, MATRICES: false });
    expect(tileConstants({ kind: 'bf16' }, undefined, has)).toEqual({ F16: false, MATRICES: false });
  });
});

/** @param broken a shader's file, and what in it is replaced by what */
function describeTiles(name: string, tiles: Tiles, broken: readonly (readonly [string, string, string])[]): void {
  describe(name, () => {
    it.each(LAYOUTS.map((layout) => [layoutName(layout), layout] as const))('linear/matmul of %s', (_, layout) =>
      checkLinear(tiles, layout),
    );
    it.each(['linear', 'glu'] as const)('%s with a norm', (kernel) => checkLinear(tiles, INT4, true, kernel));
    it.each(TILE_SIZES.flatMap((rows) => [['up', rows] as const, ['down', rows] as const]))(
      'moe/expert_%s in tiles of %i rows',
      (part, rows) => checkExperts(tiles, part, rows),
    );
    it.each(broken)('%s: notices "%s" as "%s"', async (path, from, to) => {
      const check = async (): Promise<void> => {
        if (path.startsWith('moe')) await checkExperts(tiles, 'down', 16);
        else await checkLinear(tiles, INT4, true);
      };
      await expectMutantToFail(tiles.gpu, shaderText, path, (s) => s.replace(from, to), check);
    });
  });
}

if (hasF16) {
  describeTiles('tiles in f16', { gpu: lanes, bound: LANES_BOUND }, [
    ['linear/matmul_tile_f16', 'v[i] * s', 'v[i]'],
    ['linear/matmul_tile_f16', 'half * HALF + i, token', 'i, token'],
    ['linear/matmul_tile_f16', 's1 * odd', 's0 * odd'],
    ['linear/matmul_tile_f16', 'squares[2u * token + 1u]', 'squares[2u * token]'],
    ['linear/parts_halves', 'x[3] * w[3]', 'x[3] * w[2]'],
    ['moe/tile_halves', 'x_scale[half][row] = m', 'x_scale[half][row] = 1.0'],
    ['moe/tile_halves', 'let half = lane % 2u', 'let half = 0u'],
  ]);
}

if (byMatrices) {
  describeTiles('tiles by subgroup matrices', { gpu: byMatrices, bound: MATRICES_BOUND }, [
    ['linear/parts_matrices', 'x, w[i], sum', 'x, w[0], sum'],
    ['linear/parts_matrices', 'max(half_largest, subgroupShuffleXor(half_largest, 1u))', 'half_largest'],
    ['linear/parts_matrices', 'n = team.own * MATRIX_N', 'n = 0u'],
    ['linear/parts_matrices', 'm += MATRIX_M', 'm += 2u * MATRIX_M'],
    ['linear/parts_matrices', 'col_major>(&w_tile', 'row_major>(&w_tile'],
    ['moe/tile_products', 'multiply_parts(count)', 'multiply_parts(8u)'],
  ]);
}
