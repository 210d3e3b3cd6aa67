/** What a layer needs on the GPU: its weights, what a run of `maxTokens` leaves behind, and gradients. */
import { ffnsOf, pairsOf, choicesOf, routerRows, type LayerShape } from '../config/moe-layer.ts';
import { OutOfBudget } from '../errors.ts';
import { subview, wholeBuffer, type BufferView } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { STEP_BYTES } from '../gpu/step.ts';
import { LAYER_STEP_BYTES } from '../kernels/layer/step.ts';
import { sizesOf, type GradViews, type LayerViews } from '../kernels/layer/views.ts';
import { tileBound, type TileRows } from '../kernels/moe/group.ts';
import { slotLayout, type SlotLayout } from '../moe/slots.ts';
import { lossGradBytes } from './losses.ts';

export const TILE_ROWS: TileRows = 16;

export interface LayerBuffers {
  readonly views: LayerViews & GradViews;
  readonly step: BufferView;
  readonly slotTable: BufferView; // [X + 2]
  readonly tiles: BufferView;
  readonly slot: SlotLayout;
}

export const layerSlot = ({ hidden, width }: LayerShape): SlotLayout =>
  slotLayout({ hidden, width, gateUp: { kind: 'f32' }, down: { kind: 'f32' }, bias: false });

/** Of 32-bit words. */
function wordsOf(
  shape: LayerShape,
  tokens: number,
): Readonly<Record<Exclude<keyof (LayerViews & GradViews), 'gate'>, number>> {
  const { hidden, width, topK, noise } = shape;
  const { G, M, X, ALL, PLANES } = sizesOf(shape);
  const pairs = tokens * ALL;
  const arena = (ffnsOf(shape) * layerSlot(shape).bytes) / 4;
  return {
    x: tokens * hidden,
    tokenIds: tokens,
    router: routerRows(shape) * hidden,
    bias: choicesOf(shape),
    arena,
    routerX: noise === 'jitter' ? tokens * hidden : 0,
    logits: tokens * M,
    gates: tokens * PLANES * G,
    facts: tokens * 3,
    keys: tokens * G,
    chosen: tokens * topK,
    priority: tokens * topK,
    kept: tokens * topK,
    weights: tokens * topK,
    routed: tokens * 2 * pairsOf(shape),
    rowOfPair: pairs,
    pairOfRow: pairs,
    counts: X + 2,
    act: pairs * width,
    y: pairs * hidden,
    out: tokens * hidden,
    sums: tokens * (PLANES - 2) * G,
    dout: tokens * hidden,
    lossGrads: lossGradBytes(tokens, G) / 4,
    dots: pairs,
    dpre: pairs * 2 * width,
    dlogits: tokens * M,
    dx: tokens * hidden,
    drouter: M * hidden,
    dexperts: arena,
  };
}

/** @throws OutOfBudget when a buffer is larger than the device can bind, or the device has no room */
export async function layerBuffers(gpu: Gpu, shape: LayerShape, tokens: number): Promise<LayerBuffers> {
  const words = wordsOf(shape, tokens);
  const most = gpu.facts.limits.maxStorageBufferBindingSize;
  for (const [name, count] of Object.entries(words)) {
    if (4 * count > most)
      throw new OutOfBudget(
        `createMoELayer: ${name} takes ${4 * count} bytes, and this device binds ${most}: take fewer max_tokens or smaller experts`,
        { what: name, bytes: 4 * count, most },
      );
  }
  return gpu.allocating('the MoE layer', () => {
    const make = (name: string, bytes: number, usage = 0): BufferView =>
      wholeBuffer(gpu.createBuffer(`moe layer ${name}`, 'activations', bytes, usage));
    const named = Object.fromEntries(
      Object.entries(words).map(([name, count]) => [name, make(name, 4 * count)]),
    ) as Record<keyof typeof words, BufferView>;
    const bound = tileBound(tokens * pairsOf(shape), sizesOf(shape).X + 2, TILE_ROWS);
    return {
      views: {
        ...named,
        routerX: words.routerX ? named.routerX : named.x,
        gate: make('gate', LAYER_STEP_BYTES, GPUBufferUsage.UNIFORM),
      },
      step: make('step', STEP_BYTES, GPUBufferUsage.UNIFORM),
      slotTable: make('slot table', 4 * (sizesOf(shape).X + 2)),
      tiles: make('tiles', 16 * (1 + bound)),
      slot: layerSlot(shape),
    };
  });
}

/** The first `words` of a view. */
export const firstWords = (view: BufferView, words: number): BufferView => subview(view, 0, 4 * words);
