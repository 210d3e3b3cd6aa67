/** The kernels of this folder in a row, as one layer takes them. */
import { describe, expect, it } from 'vitest';
import type { Activation, RouterConfig } from '../../../src/config/model-config.ts';
import { combine } from '../../../src/kernels/moe/combine.ts';
import { expertDown, expertDownDecode } from '../../../src/kernels/moe/expert_down.ts';
import { expertUp, expertUpDecode } from '../../../src/kernels/moe/expert_up.ts';
import { group, tileBound, type TileRows } from '../../../src/kernels/moe/group.ts';
import { route } from '../../../src/kernels/moe/route.ts';
import { routerBlock } from '../../../src/kernels/moe/router_block.ts';
import { slotLayout } from '../../../src/moe/slots.ts';
import { combine as combineTwin } from '../../../src/reference/moe/combine.ts';
import { expertDown as expertDownTwin } from '../../../src/reference/moe/expert_down.ts';
import { expertUp as expertUpTwin } from '../../../src/reference/moe/expert_up.ts';
import { route as routeTwin } from '../../../src/reference/moe/route.ts';
import { encodeMatrix } from '../../../src/reference/weights.ts';
import type { Layout } from '../../../src/weights/layout.ts';
import { asF32, expectClose, runKernel } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';
import { assign, makeArena, type Arena } from './arena.ts';
import { routerWords } from './router.ts';

const gpu = await openTestGpu({ defaultLimits: true });

const ACTIVATION: Activation = { kind: 'silu' };
const F32: Layout = { kind: 'f32' };
const ROUTER: RouterConfig = {
  score: 'sigmoid',
  logitBias: false,
  selectionBias: true,
  groups: null,
  renormalize: { epsilon: 1e-20 },
  scale: 1.5,
};
const EPS = 1e-5;

interface Case {
  readonly tokens: number;
  readonly hidden: number;
  readonly width: number;
  readonly experts: number;
  readonly topK: number;
  readonly tileRows: TileRows;
}

interface Layer {
  readonly x: Float32Array<ArrayBuffer>;
  readonly gamma: Float32Array<ArrayBuffer>;
  readonly router: Float32Array<ArrayBuffer>; // [E, D]
  readonly selectionBias: Float32Array<ArrayBuffer>;
  readonly arena: Arena;
}

const slotOf = ({ hidden, width }: Case): ReturnType<typeof slotLayout> =>
  slotLayout({
    hidden,
    width,
    gateUp: { kind: 'int', bits: 4, group: 32, scale: 'f16', zeros: true },
    down: F32,
    bias: true,
  });

const layerOf = (c: Case): Layer => ({
  x: normals(1, c.tokens * c.hidden),
  gamma: normals(2, c.hidden, 0.2, 1),
  router: normals(3, c.experts * c.hidden, 0.3),
  selectionBias: normals(4, c.experts, 0.3),
  arena: makeArena(slotOf(c), c.experts),
});

async function run(phase: 'decode' | 'prefill', c: Case, layer: Layer): Promise<Float32Array> {
  const { tokens, hidden, width, experts, topK, tileRows } = c;
  const { arena, router, ...vectors } = layer;
  const pairs = tokens * topK;
  const block = routerBlock({ ...ROUTER, normBias: false, hidden, experts, layout: F32, sharedGate: false });
  const got = await runKernel(gpu, {
    inputs: {
      x: layer.x,
      router: routerWords(block, encodeMatrix(router, F32, { rows: experts, cols: hidden }), vectors),
      arena: arena.words,
      slotTable: arena.slotTable,
    },
    outputs: {
      normed: tokens * hidden,
      routed: tokens * 2 * topK,
      act: pairs * width,
      out: tokens * hidden,
      ...(phase === 'prefill'
        ? {
            pairOfRow: pairs,
            rowOfPair: pairs,
            tiles: 4 * (1 + tileBound(pairs, experts, tileRows)),
            counts: experts,
            y: pairs * hidden,
          }
        : {}),
    },
    step: { tokens, position: 0 },
    record: (r, v) => {
      const home = { arena: v.arena!, slotTable: v.slotTable! };
      const shape = { hidden, experts, topK, tileRows, slot: slotOf(c), activation: ACTIVATION };
      const [x, normed, routed, act, out] = [v.x!, v.normed!, v.routed!, v.act!, v.out!];
      route(r, 'route', { x, router: v.router!, normed, routed }, { block, topK, router: ROUTER, eps: EPS });
      if (phase === 'decode') {
        expertUpDecode(r, 'up', { ...home, x: normed, routed, act }, shape);
        expertDownDecode(r, 'down', { ...home, act, routed, residual: x, out }, shape);
        return;
      }
      const [pairOfRow, rowOfPair, tiles, y] = [v.pairOfRow!, v.rowOfPair!, v.tiles!, v.y!];
      group(r, 'group', { routed, pairOfRow, rowOfPair, tiles, counts: v.counts! }, shape);
      expertUp(r, 'up', { ...home, x: normed, pairOfRow, tiles, act }, shape);
      expertDown(r, 'down', { ...home, act, tiles, y }, shape);
      combine(r, 'combine', { y, rowOfPair, routed, residual: x, out }, shape);
    },
  });
  return asF32(got.out!);
}

function expected(c: Case, { x, arena, ...rest }: Layer): Float64Array {
  const { normed, ids, weights } = routeTwin({ x, ...rest }, { ...c, router: ROUTER, eps: EPS });
  const act = expertUpTwin(
    normed,
    assign(arena, ids, (pair) => Math.floor(pair / c.topK)),
    ACTIVATION,
    c,
  );
  const y = expertDownTwin(
    act,
    assign(arena, ids, (pair) => pair),
    c,
  );
  return combineTwin({ y, rowOfPair: ids.map((_, pair) => pair), weights, residual: x }, c);
}

const cases: Case[] = [
  { tokens: 1, hidden: 64, width: 32, experts: 8, topK: 2, tileRows: 16 },
  { tokens: 7, hidden: 96, width: 20, experts: 5, topK: 5, tileRows: 16 },
  { tokens: 53, hidden: 64, width: 32, experts: 11, topK: 3, tileRows: 32 },
];

/** Expert e of the layer becomes expert moved(e): its router row, its bias and its slot move with it. */
function permuteExperts(layer: Layer, experts: number, moved: (e: number) => number): Layer {
  const router = layer.router.slice();
  const selectionBias = layer.selectionBias.slice();
  const slotTable = layer.arena.slotTable.slice();
  const size = router.length / experts;
  for (let e = 0; e < experts; e++) {
    router.set(layer.router.subarray(e * size, (e + 1) * size), moved(e) * size);
    selectionBias[moved(e)] = layer.selectionBias[e]!;
    slotTable[moved(e)] = layer.arena.slotTable[e]!;
  }
  return { ...layer, router, selectionBias, arena: { ...layer.arena, slotTable } };
}

describe('one MoE layer', () => {
  // Each stage is within some 1e-6 of its twin.
  it.each(cases)('%o', async (c) => {
    const layer = layerOf(c);
    const want = expected(c, layer);
    expectClose(await run('prefill', c, layer), want, 2e-5, 'prefill');
    expectClose(await run('decode', c, layer), want, 2e-5, 'decode');
  });

  it.each(['decode', 'prefill'] as const)('%s: permuting the experts changes no bit', async (phase) => {
    const c = cases[1]!;
    const layer = layerOf(c);
    const permuted = permuteExperts(layer, c.experts, (e) => (3 * e + 2) % c.experts);
    expect([...(await run(phase, c, permuted))]).toEqual([...(await run(phase, c, layer))]);
  });

  it('a token gets the same bits alone and among others', async () => {
    const c = { ...cases[2]!, tokens: 40 };
    const layer = layerOf(c);
    const together = await run('prefill', c, layer);
    const last = layer.x.slice(39 * c.hidden);
    const alone = await run('prefill', { ...c, tokens: 1 }, { ...layer, x: last });
    expect([...alone]).toEqual([...together.subarray(39 * c.hidden)]);
  });
});
