/** The expert beside the chosen ones, which rides in the expert dispatches, against the twins of the dispatches of its own that it had. */
import { describe, expect, it } from 'vitest';
import { upRows, valueRows } from '../../../src/config/activation.ts';
import type { Activation } from '../../../src/config/model-config.ts';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { besideAt, type Beside } from '../../../src/kernels/moe/beside.ts';
import { combine } from '../../../src/kernels/moe/combine.ts';
import { expertDown, expertDownDecode } from '../../../src/kernels/moe/expert_down.ts';
import { expertUp, expertUpDecode } from '../../../src/kernels/moe/expert_up.ts';
import { tileBound } from '../../../src/kernels/moe/group.ts';
import { BESIDE_RUNS, BESIDE_WAITS, slotLayout } from '../../../src/moe/slots.ts';
import { glu as gluTwin } from '../../../src/reference/linear/glu.ts';
import { linear as linearTwin } from '../../../src/reference/linear/linear.ts';
import { combine as combineTwin } from '../../../src/reference/moe/combine.ts';
import { expertDown as expertDownTwin } from '../../../src/reference/moe/expert_down.ts';
import { expertUp as expertUpTwin } from '../../../src/reference/moe/expert_up.ts';
import { group as groupTwin } from '../../../src/reference/moe/group.ts';
import { decodeMatrix, encodeMatrix } from '../../../src/reference/weights.ts';
import type { Layout } from '../../../src/weights/layout.ts';
import { asF32, expectClose, expectMutantToFail, POISON, runKernel } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { firstOfEach, thinned } from '../../support/everyday.ts';
import { normals } from '../../support/random.ts';
import { assign, chooseExperts, makeArena, routedWords } from './arena.ts';

const gpu = await openTestGpu({ defaultLimits: true });

const SILU: Activation = { kind: 'silu' };
const SQUARED: Activation = { kind: 'relu-squared' };
const BF16: Layout = { kind: 'bf16' };
const INT4: Layout = { kind: 'int', bits: 4, group: 32, scale: 'f16', zeros: true };
const [EXPERTS, TOP_K, TILE_ROWS] = [5, 2, 16] as const;

interface Case {
  readonly name: string;
  readonly tokens: number;
  readonly hidden: number;
  readonly width: number;
  /** Of the expert beside. */
  readonly besideWidth: number;
  readonly experts?: Layout;
  readonly beside?: Layout;
  readonly gated?: boolean;
  readonly activation?: Activation;
}

const cases: Case[] = [
  { name: 'no_tokens', tokens: 0, hidden: 64, width: 32, besideWidth: 32 },
  { name: 'one_of_everything', tokens: 1, hidden: 1, width: 1, besideWidth: 1 },
  { name: 'twice_as_wide', tokens: 3, hidden: 64, width: 32, besideWidth: 64, experts: INT4, beside: INT4 },
  { name: 'another_layout_and_gated', tokens: 5, hidden: 96, width: 32, besideWidth: 160, beside: INT4, gated: true },
  { name: 'narrower_than_an_expert', tokens: 2, hidden: 70, width: 37, besideWidth: 21, gated: true },
  { name: 'quads_beside_odd_rows', tokens: 3, hidden: 129, width: 33, besideWidth: 64, experts: INT4 },
  { name: 'without_gates', tokens: 18, hidden: 68, width: 38, besideWidth: 90, gated: true, activation: SQUARED },
  { name: 'tokens_of_two_tiles', tokens: 19, hidden: 68, width: 32, besideWidth: 72, gated: true },
];

function setUp(c: Case) {
  const { tokens, hidden, width, besideWidth, experts = BF16, beside = BF16 } = c;
  const { activation = SILU } = c;
  const slot = slotLayout({
    hidden,
    width,
    valueRows: valueRows(activation),
    gateUp: experts,
    down: experts,
    bias: false,
  });
  const [up, down] = [
    { rows: upRows(besideWidth, activation), cols: hidden },
    { rows: hidden, cols: besideWidth },
  ];
  const encoded = {
    gateUp: encodeMatrix(normals(1, up.rows * up.cols, 0.3), beside, up),
    down: encodeMatrix(normals(2, down.rows * down.cols, 0.3), beside, down),
  };
  const ids = chooseExperts(7, tokens, EXPERTS, TOP_K);
  return {
    ...{ activation, slot, layout: beside, encoded, up, down, ids },
    arena: makeArena(slot, EXPERTS),
    weights: normals(8, ids.length, 0.5),
    x: normals(9, tokens * hidden),
    residual: normals(11, tokens * hidden),
    gate: normals(12, tokens, 0.3, 0.5),
    actAt: besideAt((tokens + 1) * TOP_K, width),
    yAt: besideAt((tokens + 1) * TOP_K, hidden),
  };
}

/** In doubles: experts, then the one beside, as a dense feed-forward. */
function expected(c: Case): Float64Array {
  const { activation, arena, ids, x, weights, residual, gate, encoded, layout, up, down } = setUp(c);
  const { tokens, hidden, besideWidth } = c;
  const act = expertUpTwin(
    x,
    assign(arena, ids, (pair) => Math.floor(pair / TOP_K)),
    activation,
    c,
  );
  const y = expertDownTwin(
    act,
    assign(arena, ids, (pair) => pair),
    c,
  );
  const own = gluTwin({ x, weights: decodeMatrix(encoded.gateUp, layout, up) }, activation, {
    ...{ tokens, width: besideWidth, cols: hidden },
  });
  const size = { tokens, rows: hidden, cols: besideWidth };
  const beside = linearTwin(
    { x: own, weights: decodeMatrix(encoded.down, layout, down), residual, ...(c.gated && { rowScale: gate }) },
    size,
  );
  const rowOfPair = ids.map((_, pair) => pair);
  return combineTwin({ y, rowOfPair, weights, residual: beside }, { hidden, topK: TOP_K });
}

type Phase = 'decode' | 'prefill';

async function run(c: Case, phase: Phase, flag = BESIDE_RUNS): Promise<Record<string, Uint32Array<ArrayBuffer>>> {
  const s = setUp(c);
  const { tokens, hidden, width, besideWidth } = c;
  const pairs = s.ids.length;
  const grouping = groupTwin(s.ids, EXPERTS, TILE_ROWS);
  const tiles = new Uint32Array(4 * (1 + tileBound(pairs, EXPERTS, TILE_ROWS)));
  tiles.set([grouping.tiles.length, 0, 0, 0]);
  grouping.tiles.forEach((tile, i) => tiles.set([...tile, 0], 4 * (i + 1)));
  return runKernel(gpu, {
    inputs: {
      ...{ x: s.x, residual: s.residual, gate: s.gate, arena: s.arena.words, tiles },
      ...{ gateUp: s.encoded.gateUp, down: s.encoded.down, routed: routedWords(s.ids, s.weights, TOP_K) },
      slotTable: Uint32Array.of(...s.arena.slotTable, flag),
      pairOfRow: grouping.pairOfRow,
      rowOfPair: grouping.rowOfPair,
    },
    outputs: {
      act: s.actAt + tokens * besideWidth,
      y: phase === 'prefill' ? s.yAt + tokens * hidden : 1,
      out: tokens * hidden,
    },
    step: { tokens, position: 0 },
    record: (r, v) => {
      const beside: Beside = {
        gateUp: { view: v.gateUp!, layout: s.layout, ...s.up },
        down: { view: v.down!, layout: s.layout, ...s.down },
        ...{ actAt: s.actAt, yAt: s.yAt, ...(c.gated && { weight: v.gate! }) },
      };
      const shape = {
        ...{ hidden, width, experts: EXPERTS, topK: TOP_K, slot: s.slot },
        ...{ activation: s.activation, tileRows: TILE_ROWS, beside },
      };
      const [x, act, y, routed, residual, out] = [v.x!, v.act!, v.y!, v.routed!, v.residual!, v.out!];
      const home = { arena: v.arena!, slotTable: v.slotTable! };
      if (phase === 'decode') {
        expertUpDecode(r, 'up', { ...home, x, routed, act }, shape);
        expertDownDecode(r, 'down', { ...home, act, routed, residual, out }, shape);
        return;
      }
      expertUp(r, 'up', { ...home, x, pairOfRow: v.pairOfRow!, tiles: v.tiles!, act }, shape);
      expertDown(r, 'down', { ...home, act, tiles: v.tiles!, y }, shape);
      combine(r, 'combine', { y, rowOfPair: v.rowOfPair!, routed, residual, out }, shape);
    },
  });
}

async function check(c: Case, phase: Phase): Promise<void> {
  const { out } = await run(c, phase);
  // Sums of up to 256 products in f32, and an exponential: some 1e-6 of the RMS.
  expectClose(asF32(out!), expected(c), 1e-5, `${phase} ${c.name}`);
}

const named = (name: string): Case => cases.find((c) => c.name === name)!;

describe('the expert beside', () => {
  it.each(thinned(cases, 3))('$name, token by token', (c) => check(c, 'decode'));
  it.each(thinned(cases, 3))('$name, in tiles', (c) => check(c, 'prefill'));

  it('waits for its wave', async () => {
    const c = named('twice_as_wide');
    const { act, y } = await run(c, 'prefill', BESIDE_WAITS);
    const { actAt, yAt } = setUp(c);
    expect(act!.subarray(actAt).every((word) => word === POISON)).toBe(true);
    expect(y!.subarray(yAt).every((word) => word === POISON)).toBe(true);
  });

  const [UP, DOWN] = ['moe/expert_up', 'moe/expert_down'];
  it.each(
    firstOfEach<[string, string, string, Phase, string]>(
      [
        [`${UP}_decode`, 'forgets its gate', 'value *= shared_weight[t]=>', 'decode', 'another_layout_and_gated'],
        [
          `${UP}_decode`,
          'stops at the width of an expert',
          '(k - TOP_K) *=>0u *',
          'decode',
          'another_layout_and_gated',
        ],
        [
          `${UP}_decode`,
          'has one half beside',
          'BESIDE_AT + (t * PAIR_VALUES + v) *=>BESIDE_AT + t * PAIR_VALUES *',
          'decode',
          'without_gates',
        ],
        [
          UP,
          'has one half beside',
          'BESIDE_AT + (t * PAIR_VALUES + v) *=>BESIDE_AT + t * PAIR_VALUES *',
          'prefill',
          'without_gates',
        ],
        ['moe/row_share', 'reads a chunk too few', '(chunk < W=>(chunk + 1u < W', 'decode', 'twice_as_wide'],
        ['moe/beside', "takes a scale's neighbour", 'at % 4u=>(at + 1u) % 4u', 'decode', 'twice_as_wide'],
        [UP, 'takes a tile for another', 'workgroup.y % token_tiles * BM=>0u', 'prefill', 'tokens_of_two_tiles'],
        [
          UP,
          'stops at the width of an expert',
          'workgroup.y / token_tiles *=>0u *',
          'prefill',
          'another_layout_and_gated',
        ],
        [DOWN, 'leaves the tiles of experts where they were', 'y - token_tiles=>y', 'prefill', 'twice_as_wide'],
        ['moe/combine', 'forgets its gate', 'shared_weight[t] * beside=>beside', 'prefill', 'tokens_of_two_tiles'],
      ],
      ([path]) => path,
    ),
  )('%s: notices one that %s', async (path, _what, change, phase, name) => {
    const [before, after] = change.split('=>') as [string, string];
    const mutate = (s: string): string => s.replace(before, after);
    await expectMutantToFail(gpu, shaderText, path, mutate, () => check(named(name), phase));
  });
});
