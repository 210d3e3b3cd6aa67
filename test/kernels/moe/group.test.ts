import { describe, expect, it } from 'vitest';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { group, tileBound, type TileRows } from '../../../src/kernels/moe/group.ts';
import { group as twin } from '../../../src/reference/moe/group.ts';
import { expectMutantToFail, POISON, runKernel } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { firstOfEach } from '../../support/everyday.ts';
import { chooseExperts, routedWords } from './arena.ts';

const gpu = await openTestGpu({ defaultLimits: true });

interface Case {
  readonly name: string;
  readonly tokens: number;
  readonly experts: number;
  readonly topK: number;
  readonly tileRows?: TileRows;
  /** Ids pair by pair instead of random ones. */
  readonly ids?: (pair: number) => number;
}

const cases: Case[] = [
  { name: 'no_tokens', tokens: 0, experts: 8, topK: 2 },
  { name: 'one_pair', tokens: 1, experts: 1, topK: 1 },
  { name: 'one_token', tokens: 1, experts: 16, topK: 5 },
  { name: 'random', tokens: 37, experts: 16, topK: 4 },
  { name: 'tall_tiles', tokens: 97, experts: 7, topK: 3, tileRows: 32 },
  { name: 'all_experts_chosen', tokens: 23, experts: 6, topK: 6 },
  { name: 'one_expert_takes_all', tokens: 131, experts: 9, topK: 1, ids: () => 5 },
  { name: 'same_expert_twice_a_token', tokens: 67, experts: 4, topK: 3, ids: (p) => (p % 3 === 1 ? 3 : 2) },
  { name: 'last_expert_only', tokens: 20, experts: 67, topK: 2, ids: (p) => 66 - (p % 2) },
  { name: 'wide_workgroup', tokens: 151, experts: 67, topK: 7 },
  { name: 'most_experts', tokens: 47, experts: 512, topK: 32 },
  { name: 'many_pairs', tokens: 512, experts: 33, topK: 8 },
  { name: 'more_lanes_than_experts', tokens: 300, experts: 3, topK: 2 },
];

async function check({ name, tokens, experts, topK, tileRows = 16, ids }: Case): Promise<void> {
  const pairs = tokens * topK;
  const chosen = ids ? Uint32Array.from({ length: pairs }, (_, p) => ids(p)) : chooseExperts(1, tokens, experts, topK);
  const bound = tileBound(pairs, experts, tileRows);
  const got = await runKernel(gpu, {
    inputs: { routed: routedWords(chosen, new Float32Array(pairs).fill(0.5), topK) },
    outputs: { pairOfRow: pairs, rowOfPair: pairs, tiles: 4 * (1 + bound), counts: experts },
    step: { tokens, position: 0 },
    record: (r, v) =>
      group(
        r,
        name,
        { routed: v.routed!, pairOfRow: v.pairOfRow!, rowOfPair: v.rowOfPair!, tiles: v.tiles!, counts: v.counts! },
        { experts, topK, tileRows },
      ),
  });
  const want = twin(chosen, experts, tileRows);
  expect([...got.pairOfRow!]).toEqual([...want.pairOfRow]);
  expect([...got.rowOfPair!]).toEqual([...want.rowOfPair]);
  expect([...got.counts!]).toEqual([...want.counts]);
  const tiles = [[want.tiles.length, 0, 0, 0], ...want.tiles.map((tile) => [...tile, 0])].flat();
  expect([...got.tiles!.subarray(0, tiles.length)]).toEqual(tiles);
  expect(got.tiles!.subarray(tiles.length).every((w) => w === POISON)).toBe(true);
  // What consumers rely on, whatever the twin says.
  expect([...got.pairOfRow!].sort((a, b) => a - b)).toEqual([...Array(pairs).keys()]);
  got.rowOfPair!.forEach((row, pair) => expect(got.pairOfRow![row]).toBe(pair));
}

const named = (name: string): Case => cases.find((c) => c.name === name)!;

describe('moe/group', () => {
  it.each(cases)('$name', check);

  it.each(
    firstOfEach<[string, string, (s: string) => string]>(
      [
        [
          'counts a pair as its own predecessor',
          'random',
          (s) => s.replace('((1u << own_bit) - 1u)', '((2u << own_bit) - 1u)'),
        ],
        ['forgets the words before', 'one_expert_takes_all', (s) => s.replace('if (m < own_mask)', 'if (m < 0u)')],
        ['never clears its masks', 'many_pairs', (s) => s.replace('atomicStore(&choosers[own_mask * E + e], 0u)', '')],
        ['advances by one', 'one_expert_takes_all', (s) => s.replace('cursor[e] += total', 'cursor[e] += 1u')],
        ['writes full tiles only', 'random', (s) => s.replace('min(TILE_ROWS, rows - first)', 'TILE_ROWS')],
        ['scans one lane too few', 'random', (s) => s.replace('reach < WG;', 'reach < WG / 4u;')],
      ],
      () => 'one',
    ),
  )('notices a kernel that %s', async (_what, name, mutate) => {
    await expectMutantToFail(gpu, shaderText, 'moe/group', mutate, () => check(named(name)));
  });
});
