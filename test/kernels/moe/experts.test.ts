import { describe, expect, it } from 'vitest';
import { valueRows } from '../../../src/config/activation.ts';
import type { Activation } from '../../../src/config/model-config.ts';
import type { BufferView } from '../../../src/gpu/buffer.ts';
import type { Recorder } from '../../../src/gpu/recording.ts';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { combine } from '../../../src/kernels/moe/combine.ts';
import { expertDown, expertDownDecode } from '../../../src/kernels/moe/expert_down.ts';
import { expertUp, expertUpDecode } from '../../../src/kernels/moe/expert_up.ts';
import { tileBound, type TileRows } from '../../../src/kernels/moe/group.ts';
import { slotLayout, type SlotLayout } from '../../../src/moe/slots.ts';
import { combine as combineTwin } from '../../../src/reference/moe/combine.ts';
import { expertDown as expertDownTwin } from '../../../src/reference/moe/expert_down.ts';
import { expertUp as expertUpTwin, type Assignment } from '../../../src/reference/moe/expert_up.ts';
import { group as groupTwin, type Grouping } from '../../../src/reference/moe/group.ts';
import { layoutName, type Layout } from '../../../src/weights/layout.ts';
import { asF32, expectClose, expectMutantToFail, POISON, runKernel } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';
import { everyday, firstOfEach, isFast, thinned } from '../../support/everyday.ts';
import { assign, chooseExperts, makeArena, routedWords, type Arena } from './arena.ts';

const gpu = await openTestGpu({ defaultLimits: true });

/** The decode kernels share an output among lanes on a GPU only. Not by `pretend`: mutants go to this one device. */
const pretendGpu = (yes: boolean): void => {
  const { facts } = gpu;
  Object.assign(gpu, { facts: { ...facts, kernels: yes ? 'gpu' : 'software' } });
};

const SILU: Activation = { kind: 'silu' };
const GELU: Activation = { kind: 'gelu-tanh' };
const CLAMPED: Activation = { kind: 'clamped-swiglu', alpha: 1.702, limit: 1 };
const SQUARED: Activation = { kind: 'relu-squared' };
const DOUBLE: Activation = { kind: 'double-gate' };
const BF16: Layout = { kind: 'bf16' };
const int = (bits: 4 | 8, group: number, zeros: boolean): Layout => ({ kind: 'int', bits, group, scale: 'f16', zeros });

interface Case {
  readonly name: string;
  readonly tokens: number;
  readonly hidden: number;
  readonly width: number;
  readonly experts: number;
  readonly topK: number;
  readonly gateUp?: Layout;
  readonly down?: Layout;
  readonly bias?: boolean;
  readonly activation?: Activation;
  readonly missing?: readonly number[];
  readonly tileRows?: TileRows;
  /** The expert of every pair, instead of random ones. */
  readonly only?: number;
  /** Of the sum over experts. */
  readonly scale?: number;
  /** Nothing is added to it. */
  readonly alone?: boolean;
  /** Experts from this one on have no weights: combine reads none of their rows. */
  readonly weighted?: number;
}

const small = { tokens: 5, hidden: 64, width: 32, experts: 6, topK: 2 };
const cases: Case[] = [
  { ...small, name: 'no_tokens', tokens: 0 },
  { name: 'one_of_everything', tokens: 1, hidden: 1, width: 1, experts: 1, topK: 1 },
  { ...small, name: 'plain' },
  { ...small, name: 'odd_sizes', tokens: 7, hidden: 70, width: 37, bias: true },
  { ...small, name: 'sizes_of_four', tokens: 3, hidden: 100, width: 36, bias: true, scale: 0.22 },
  { ...small, name: 'without_residual', alone: true },
  { ...small, name: 'more_than_a_column_block', tokens: 3, hidden: 129, width: 67, topK: 3 },
  { ...small, name: 'several_tiles', tokens: 41, width: 33, topK: 1, only: 2, bias: true },
  { ...small, name: 'tall_tiles', tokens: 83, hidden: 68, experts: 3, tileRows: 32 },
  { ...small, name: 'one_tall_tile', tokens: 32, topK: 1, only: 0, tileRows: 32 },
  { ...small, name: 'tallest_tiles', tokens: 90, hidden: 68, topK: 1, only: 1, tileRows: 64 },
  { ...small, name: 'all_experts', tokens: 4, topK: 6 },
  { ...small, name: 'many_experts', tokens: 3, experts: 97, topK: 16, hidden: 32 },
  { ...small, name: 'wide', tokens: 1, hidden: 640, width: 352 },
  { ...small, name: 'gelu', activation: GELU, bias: true },
  { ...small, name: 'clamped', activation: CLAMPED, bias: true },
  { ...small, name: 'without_gates', tokens: 7, width: 74, bias: true, activation: SQUARED, missing: [1] },
  { ...small, name: 'double_gate', tokens: 7, width: 74, bias: true, activation: DOUBLE, missing: [1] },
  { ...small, name: 'missing', bias: true, topK: 3, missing: [0, 2, 5] },
  { ...small, name: 'without_weights', weighted: 3 },
  { ...small, name: 'all_missing', missing: [0, 1, 2, 3, 4, 5] },
  ...[int(4, 64, true), int(8, 32, false), { kind: 'mxfp4' } as const].map((layout): Case => ({
    ...small,
    name: layoutName(layout),
    gateUp: layout,
    down: layout,
    hidden: 96,
    bias: true,
  })),
  { ...small, name: 'k_quants', tokens: 3, hidden: 256, width: 256, gateUp: { kind: 'q4_k' }, down: { kind: 'q6_k' } },
  { ...small, name: 'mixed_layouts', gateUp: int(4, 32, false), down: { kind: 'f32' }, bias: true },
];

interface Setup {
  readonly slot: SlotLayout;
  readonly arena: Arena;
  readonly ids: Uint32Array<ArrayBuffer>; // [P]
  readonly weights: Float32Array<ArrayBuffer>; // [P]
  readonly routed: Uint32Array<ArrayBuffer>;
  readonly grouping: Grouping;
  readonly tiles: Uint32Array<ArrayBuffer>;
  readonly x: Float32Array<ArrayBuffer>; // [T, D]
  readonly act: Float32Array<ArrayBuffer>; // [P, F]
  readonly residual: Float32Array<ArrayBuffer>; // [T, D]
}

const SILENT = 0x7fc00000; // a tile list's unused entries must not be read

function setUp(c: Case): Setup {
  const { tokens, hidden, width, experts, topK, tileRows = 16 } = c;
  const { gateUp = BF16, down = BF16, bias = false } = c;
  const slot = slotLayout({ hidden, width, valueRows: valueRows(c.activation ?? SILU), gateUp, down, bias });
  const pairs = tokens * topK;
  const { only } = c;
  const ids = only === undefined ? chooseExperts(7, tokens, experts, topK) : new Uint32Array(pairs).fill(only);
  const weights = normals(8, pairs, 0.5);
  const grouping = groupTwin(ids, experts, tileRows);
  const tiles = new Uint32Array(4 * (1 + tileBound(pairs, experts, tileRows))).fill(SILENT);
  tiles.set([grouping.tiles.length, 0, 0, 0]);
  grouping.tiles.forEach((tile, i) => tiles.set([...tile, 0], 4 * (i + 1)));
  return {
    slot,
    arena: makeArena(slot, experts, c.missing),
    ids,
    weights,
    routed: routedWords(ids, weights, topK),
    grouping,
    tiles,
    x: normals(9, tokens * hidden),
    act: normals(10, pairs * width),
    residual: normals(11, tokens * hidden),
  };
}

/** Runs one kernel over the arena, with `inputs` beside it, and returns `out`. */
async function run(
  c: Case,
  s: Setup,
  inputs: Readonly<Record<string, Float32Array | Uint32Array>>,
  size: number,
  record: (r: Recorder, views: Readonly<Record<string, BufferView>>) => void,
): Promise<Float32Array> {
  const got = await runKernel(gpu, {
    inputs: { ...inputs, arena: s.arena.words, slotTable: s.arena.slotTable },
    outputs: { out: size },
    step: { tokens: c.tokens, position: 0 },
    record,
  });
  return asF32(got.out!);
}

const home = (v: Readonly<Record<string, BufferView>>): { arena: BufferView; slotTable: BufferView } => ({
  arena: v.arena!,
  slotTable: v.slotTable!,
});
const shapeOf = (
  c: Case,
  s: Setup,
): { experts: number; topK: number; slot: SlotLayout; activation: Activation; tileRows: TileRows; scale: number } => ({
  experts: c.experts,
  topK: c.topK,
  slot: s.slot,
  activation: c.activation ?? SILU,
  tileRows: c.tileRows ?? 16,
  scale: c.scale ?? 1,
});

/** What up leaves of a pair: its values, or of a double gate its products. */
const upSize = ({ width, activation }: Case): number => (activation === DOUBLE ? 3 * width : width);

/** The rows of `values` [P, size], pair by pair, in row order. */
const toRows = (values: Float32Array, s: Setup, size: number): Float32Array<ArrayBuffer> => {
  const rows = new Float32Array(values.length);
  s.grouping.pairOfRow.forEach((pair, r) => rows.set(values.subarray(pair * size, (pair + 1) * size), r * size));
  return rows;
};
const idsOfRows = (s: Setup): number[] => [...s.grouping.pairOfRow].map((pair) => s.ids[pair]!);

// Sums of up to 640 products in f32, and an exponential: some 1e-6 of the RMS.
const BOUND = 1e-5;

/** Rows with an expert are as wanted; the others still hold what every output starts with. */
function expectRows(c: Case, got: Float32Array, want: Float64Array, rows: readonly Assignment[]): void {
  const size = rows.length ? got.length / rows.length : 0;
  const isThere = (i: number): boolean => rows[Math.floor(i / size)]!.expert !== null;
  const there = (_: number, i: number): boolean => isThere(i);
  expectClose(got.filter(there), want.filter(there), BOUND, c.name);
  const bits = new Uint32Array(got.buffer, got.byteOffset, got.length);
  expect(bits.every((word, i) => isThere(i) || word === POISON)).toBe(true);
}

const checks = {
  'moe/expert_up': async (c: Case): Promise<void> => {
    const s = setUp(c);
    const { pairOfRow } = s.grouping;
    const shape = shapeOf(c, s);
    const got = await run(c, s, { x: s.x, pairOfRow, tiles: s.tiles }, s.ids.length * upSize(c), (r, v) =>
      expertUp(r, c.name, { ...home(v), x: v.x!, pairOfRow: v.pairOfRow!, tiles: v.tiles!, act: v.out! }, shape),
    );
    const rows = assign(s.arena, idsOfRows(s), (r) => Math.floor(pairOfRow[r]! / c.topK));
    expectRows(c, got, expertUpTwin(s.x, rows, shape.activation, c), rows);
  },
  'moe/expert_up_decode': async (c: Case): Promise<void> => {
    const s = setUp(c);
    const shape = shapeOf(c, s);
    const got = await run(c, s, { x: s.x, routed: s.routed }, s.ids.length * upSize(c), (r, v) =>
      expertUpDecode(r, c.name, { ...home(v), x: v.x!, routed: v.routed!, act: v.out! }, shape),
    );
    const pairs = assign(s.arena, s.ids, (pair) => Math.floor(pair / c.topK));
    expectClose(got, expertUpTwin(s.x, pairs, shape.activation, c), BOUND, c.name);
  },
  'moe/expert_down': async (c: Case): Promise<void> => {
    const s = setUp(c);
    const act = toRows(s.act, s, c.width);
    const got = await run(c, s, { act, tiles: s.tiles }, s.ids.length * c.hidden, (r, v) =>
      expertDown(r, c.name, { ...home(v), act: v.act!, tiles: v.tiles!, y: v.out! }, shapeOf(c, s)),
    );
    const rows = assign(s.arena, idsOfRows(s), (r) => r);
    expectRows(c, got, expertDownTwin(act, rows, c), rows);
  },
  'moe/expert_down_decode': async (c: Case): Promise<void> => {
    const s = setUp(c);
    const { act, routed } = s;
    const added = c.alone ? {} : { residual: s.residual };
    const got = await run(c, s, { act, routed, ...added }, c.tokens * c.hidden, (r, v) =>
      expertDownDecode(
        r,
        c.name,
        { ...home(v), act: v.act!, routed: v.routed!, residual: v.residual, out: v.out! },
        shapeOf(c, s),
      ),
    );
    const y = expertDownTwin(
      act,
      assign(s.arena, s.ids, (pair) => pair),
      c,
    );
    const rowOfPair = s.ids.map((_, pair) => pair);
    expectClose(got, combineTwin({ y, rowOfPair, weights: s.weights, ...added }, c), BOUND, c.name);
  },
  'moe/combine': async (c: Case): Promise<void> => {
    const s = setUp(c);
    const { routed } = s;
    const added = c.alone ? {} : { residual: s.residual };
    const { rowOfPair } = s.grouping;
    const all = normals(12, s.ids.length * c.hidden);
    const isNull = (pair: number): boolean => s.ids[pair]! >= (c.weighted ?? c.experts);
    const y = all.slice();
    rowOfPair.forEach((row, pair) => isNull(pair) && y.fill(NaN, row * c.hidden, (row + 1) * c.hidden));
    const got = await run(c, s, { y, rowOfPair, routed, ...added }, c.tokens * c.hidden, (r, v) =>
      combine(r, c.name, { y: v.y!, rowOfPair: v.rowOfPair!, routed: v.routed!, residual: v.residual, out: v.out! }, c),
    );
    const weights = s.weights.map((weight, pair) => (isNull(pair) ? 0 : weight));
    expectClose(got, combineTwin({ y: all, rowOfPair, weights, ...added }, c), BOUND, c.name);
  },
};
type Kernel = keyof typeof checks;

const named = (name: string): Case => cases.find((c) => c.name === name)!;
const some = everyday(cases, 'no_tokens', 'odd_sizes', 'without_gates', 'double_gate', 'missing', 'mixed_layouts');
const decodeCases = some.filter((c) => c.tokens <= 8);

describe('moe/expert_up', () => void it.each(some)('$name', checks['moe/expert_up']));
describe('moe/expert_down', () => void it.each(some)('$name', checks['moe/expert_down']));
describe('moe/expert_up_decode', () => void it.each(decodeCases)('$name', checks['moe/expert_up_decode']));
describe('moe/expert_down_decode', () => void it.each(decodeCases)('$name', checks['moe/expert_down_decode']));

const onSoftware = async (kernel: Kernel, names: readonly string[]): Promise<void> => {
  pretendGpu(false);
  try {
    for (const name of names) await checks[kernel](named(name));
  } finally {
    pretendGpu(true);
  }
};

describe('on a software adapter', () => {
  const names = thinned(['missing', 'odd_sizes', 'no_tokens', 'one_of_everything', 'mixed_layouts'], 5);
  it.each<Kernel>(thinned(['moe/expert_up_decode', 'moe/expert_up'], 2))('%s without gates', (kernel) =>
    onSoftware(kernel, ['without_gates', 'double_gate']),
  );
  it.each<Kernel>(thinned(['moe/expert_up_decode', 'moe/expert_down_decode'], 2))('%s', (kernel) =>
    onSoftware(kernel, names),
  );
  it.each<Kernel>(thinned(['moe/expert_up', 'moe/expert_down'], 2))('%s', (kernel) =>
    onSoftware(kernel, [...names, ...(isFast ? [] : ['several_tiles', 'tall_tiles', 'more_than_a_column_block'])]),
  );
  it.each(
    firstOfEach<[Kernel, string, string, string]>(
      [
        ['moe/expert_up', 'moe/expert_up_lane', 'odd_sizes', 'ups.z=>ups.y'],
        ['moe/expert_up', 'moe/expert_up_lane', 'without_gates', '(row * PAIR_VALUES + v) * F=>(row + v) * F'],
        ['moe/expert_up', 'moe/expert_up_lane', 'odd_sizes', 'row < end && f < F=>f < F'],
        ['moe/expert_up', 'moe/expert_up_lane', 'odd_sizes', 'pairs / TOP_K=>pairs'],
        ['moe/expert_up', 'moe/expert_up_lane', 'missing', 'slot == MISSING=>slot == 12345u'],
        ['moe/expert_down', 'moe/expert_down_lane', 'missing', 'slot == MISSING=>slot == 12345u'],
        ['moe/expert_down', 'moe/expert_down_lane', 'odd_sizes', 'd < N) { y=>d < N + 1u) { y'],
        ['moe/expert_down', 'moe/expert_down_lane', 'several_tiles', 'workgroup.z * 4u=>0u'],
        ['moe/expert_down', 'moe/expert_down_lane', 'odd_sizes', 'slot_bias(slot, d)=>0.0'],
        ['moe/expert_down', 'moe/expert_lane', 'several_tiles', 'tile.y + min=>min'],
      ],
      ([, path]) => path === 'moe/expert_lane',
    ),
  )('%s: %s fails %s with %s', async (kernel, path, name, change) => {
    const [before, after] = change.split('=>') as [string, string];
    const mutate = (s: string): string => s.replace(before, after);
    await expectMutantToFail(gpu, shaderText, path, mutate, () => onSoftware(kernel, [name]));
  });
});
describe('moe/combine', () => {
  const several = [
    'no_tokens',
    'one_of_everything',
    'odd_sizes',
    'sizes_of_four',
    'without_residual',
    'more_than_a_column_block',
    'without_weights',
    'many_experts',
  ];
  it.each(thinned(several.map(named), 2))('$name', checks['moe/combine']);
});

describe('expert kernels', () => {
  it('do not care which slot an expert is in', async () => {
    const c = named('odd_sizes');
    const s = setUp(c);
    const outcome = (arena: Arena): Promise<Float32Array> =>
      run(c, { ...s, arena }, { act: s.act, routed: s.routed, residual: s.residual }, c.tokens * c.hidden, (r, v) =>
        expertDownDecode(
          r,
          c.name,
          { ...home(v), act: v.act!, routed: v.routed!, residual: v.residual!, out: v.out! },
          shapeOf(c, s),
        ),
      );
    const words = new Uint32Array(s.arena.words.length);
    const size = s.slot.bytes / 4;
    const slotTable = s.arena.slotTable.map((slot, e) => {
      words.set(s.arena.words.subarray(slot * size, (slot + 1) * size), e * size);
      return e;
    });
    expect([...(await outcome({ ...s.arena, words, slotTable }))]).toEqual([...(await outcome(s.arena))]);
  });

  it.each(
    firstOfEach<[Kernel, string, string, string, string]>(
      [
        [
          'moe/expert_up',
          'moe/expert_up',
          'swaps gate and up',
          'plain',
          'activate(v, gate, up)=>activate(v, up, gate)',
        ],
        [
          'moe/expert_up',
          'moe/expert_up',
          'exchanges the halves',
          'without_gates',
          'PAIR_VALUES + v) * F=>PAIR_VALUES + 1u - v) * F',
        ],
        [
          'moe/expert_up_decode',
          'moe/expert_up_decode',
          'leaves a half of missing experts',
          'without_gates',
          'act[(pair * PAIR_VALUES + v) * F + first_f + lane] = 0.0=>act[pair * PAIR_VALUES * F + first_f + lane] = 0.0',
        ],
        ['moe/expert_up', 'shared/activation', 'forgets to square', 'without_gates', 'positive * positive=>positive'],
        ['moe/expert_up', 'moe/expert_up', 'reads the token of another row', 'several_tiles', 'tile.y + min=>min'],
        ['moe/expert_up', 'moe/expert_up', 'forgets a bias', 'odd_sizes', ' + slot_bias(slot, 2u * f + 1u)=>'],
        [
          'moe/expert_up',
          'moe/expert_up',
          'computes with missing experts',
          'missing',
          'slot == MISSING=>slot == 12345u',
        ],
        [
          'moe/expert_down',
          'moe/expert_down',
          'computes with missing experts',
          'missing',
          'slot == MISSING=>slot == 12345u',
        ],
        [
          'moe/expert_up',
          'moe/tile_products',
          'starts every block at zero',
          'more_than_a_column_block',
          'first + lane=>lane',
        ],
        ['moe/expert_up', 'moe/tile_products', 'drops tall rows', 'tall_tiles', 's6 += row_dots=>s5 += row_dots'],
        ['moe/expert_down', 'moe/tile_products', 'misplaces rows of x', 'one_tall_tile', 'to_x + 16u=>to_x'],
        [
          'moe/expert_up',
          'moe/tile_products',
          'drops the tallest rows',
          'tallest_tiles',
          's14 += row_dots=>s13 += row_dots',
        ],
        ['moe/expert_down', 'moe/tile_products', 'repeats tall rows', 'tallest_tiles', 'x_rows[3]=>x_rows[1]'],
        ['moe/expert_down', 'moe/expert', 'ignores the slot', 'plain', 'slot * SLOT_VEC4 + MATRIX_AT=>MATRIX_AT'],
        [
          'moe/expert_down_decode',
          'moe/expert',
          'adds biases of missing experts',
          'missing',
          'if (slot == MISSING) { return 0.0; }=>',
        ],
        [
          'moe/expert_down',
          'moe/expert_down',
          'writes rows beyond its tile',
          'odd_sizes',
          'r < tile.z && d < N=>d < N',
        ],
        ['moe/expert_down', 'moe/expert_down', 'forgets the first row', 'several_tiles', 'y[(tile.y + r) * N=>y[r * N'],
        [
          'moe/expert_up_decode',
          'moe/expert_up_decode',
          'takes one expert for all',
          'plain',
          '2u * TOP_K + k]=>2u * TOP_K]',
        ],
        [
          'moe/expert_up_decode',
          'moe/up_rows',
          'leaves out a chunk',
          'wide',
          '(chunk < W_CHUNKS=>(chunk + 1u < W_CHUNKS',
        ],
        [
          'moe/expert_up_decode',
          'moe/expert_up_decode',
          'computes with missing experts',
          'missing',
          '== MISSING=>== 12345u',
        ],
        [
          'moe/expert_down_decode',
          'moe/expert_down_decode',
          'forgets weights',
          'plain',
          'chosen_weight(t, k) * chunk_product=>chunk_product',
        ],
        [
          'moe/expert_down_decode',
          'moe/expert_down_decode',
          'forgets the residual',
          'plain',
          'residual[t * D + d] + total=>total',
        ],
        [
          'moe/expert_down_decode',
          'moe/expert_down_decode',
          'computes with missing experts',
          'missing',
          '!= MISSING=>!= 12345u',
        ],
        [
          'moe/combine',
          'moe/combine',
          'reads rows as pairs',
          'plain',
          'row_of_pair[t * TOP_K + k] * D=>(t * TOP_K + k) * D',
        ],
        ['moe/combine', 'moe/combine', 'forgets the scale', 'sizes_of_four', 'TOP_K + k]) * OUT_SCALE=>TOP_K + k])'],
        [
          'moe/expert_down_decode',
          'moe/expert_down_decode',
          'forgets the scale',
          'sizes_of_four',
          'total *= OUT_SCALE=>total *= 1.0',
        ],
        ['moe/combine', 'moe/combine', 'takes ids for weights', 'plain', '(2u * t + 1u)=>(2u * t)'],
        ['moe/combine', 'moe/combine', 'adds nulls', 'without_weights', '>= WEIGHTED=>>= WEIGHTED + 9u'],
        ['moe/combine', 'moe/combine', 'stops one expert early', 'plain', 'k < TOP_K=>k < TOP_K - 1u'],
      ],
      ([, path]) => path,
    ),
  )('%s: notices a %s that %s', async (kernel, path, _what, name, change) => {
    const [before, after] = change.split('=>') as [string, string];
    const mutate = (s: string): string => s.replace(before, after);
    await expectMutantToFail(gpu, shaderText, path, mutate, () => checks[kernel](named(name)));
  });
});
