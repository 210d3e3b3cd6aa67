/** What adapters that requests choose keep on the GPU: every buffer, from what was bound alone. */
import { OutOfBudget } from '../../errors.ts';
import { bufferBytes } from '../../gpu/buffer.ts';
import { gateUpShape } from '../../kernels/moe/slot.ts';
import { sum } from '../../util/math.ts';
import { planes, type Layout } from '../../weights/layout.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import { fewTokens } from '../activations.ts';
import type { ExpertsSpec, ModelSpec } from '../describe/specs.ts';
import { vocabStride, type RequestsPlan } from '../serving/sizes.ts';
import { type BoundAdapter, type BoundExperts, type Stretch } from './bind.ts';

/** Of the maps beside linear maps. */
export const F32: Layout = { kind: 'f32' };

export const rankOf = (stretches: readonly Stretch[]): number => sum(stretches.map(({ map }) => map.rank));

/** Values that a pair of rows of `gateUp` gives an expert: [P, 2 width] products. */
export const pairWidth = ({ slot }: ExpertsSpec): number => gateUpShape(slot).rows / 2;

/** Values of the maps of one layer's experts, place by place: A and B of gate and up, A and B of down. */
export function expertMapValues(
  { slot }: ExpertsSpec,
  { gateUpRank, downRank }: Pick<BoundExperts, 'gateUpRank' | 'downRank'>,
): { readonly gateUpA: number; readonly gateUpB: number; readonly downA: number; readonly downB: number } {
  return {
    gateUpA: 2 * gateUpRank * slot.hidden,
    gateUpB: gateUpRank * gateUpShape(slot).rows,
    downA: downRank * slot.width,
    downB: downRank * slot.hidden,
  };
}

/** What adapters must have room for. */
export interface AdapterRoom {
  /** Most tokens of a step. */
  readonly tokens: number;
  /** Most tokens of which the head makes logits at once. */
  readonly headRows: number;
  /** Bytes of each buffer of routers. */
  readonly routers: readonly number[];
}

export const adapterRoom = (
  config: ModelConfig,
  {
    prefillChunk,
    requests,
    routers,
  }: {
    readonly prefillChunk: number;
    readonly requests: RequestsPlan | null;
    readonly routers: readonly { readonly bytes: number }[];
  },
): AdapterRoom => ({
  tokens: prefillChunk,
  headRows: Math.max(fewTokens(config, prefillChunk), requests?.inFlight ?? 1),
  routers: routers.map(({ bytes }) => bytes),
});

/** Bytes of the buffers that all adapters compute in; none where there is no adapter. */
export function scratchBytes(
  bound: readonly BoundAdapter[],
  spec: ModelSpec,
  { tokens, headRows }: AdapterRoom,
): { readonly hidden: number; readonly sum: number; readonly pairs: number } {
  const ranks = bound.flatMap(({ maps }) => [...maps.values()].map(rankOf));
  const used = bound.flatMap(({ maps }) => [...maps.keys()]);
  const experts = bound.flatMap((b) => [...b.experts]);
  const widest = Math.max(1, ...used.filter((m) => m !== spec.head).map((m) => m.rows));
  const hidden = experts.map(([x, b]) => x.topK * Math.max(2 * b.gateUpRank, b.downRank));
  // What latent attention passes on beside a product, behind it in a longer row, comes out of its first matrix.
  const beside = Math.max(0, ...spec.layers.map(({ mixer }) => (mixer.kind === 'latent' ? mixer.down.rows : 0)));
  const sums = experts.map(([x, b]) => (b.downRank > 0 ? x.slot.hidden : 0));
  const products = experts.map(([x, b]) => (b.gateUpRank > 0 ? 2 * x.topK * pairWidth(x) : 0));
  return {
    hidden: 4 * tokens * Math.max(1, ...ranks, ...hidden),
    sum:
      4 *
      Math.max(
        tokens * Math.max(widest + beside, ...sums),
        used.includes(spec.head) ? headRows * vocabStride(spec.head.rows) : 0,
      ),
    pairs: 4 * tokens * Math.max(widest, ...products),
  };
}

/** @param routers bytes of each buffer of routers, of which an adapter on one has copies */
function buffersOf({ maps, experts, lifts, routers: changed }: BoundAdapter, routers: readonly number[]): number[] {
  const linear = [...maps].flatMap(([{ rows, cols }, stretches]) => {
    const rank = rankOf(stretches);
    return [planes(F32, { rows: rank, cols }).bytes, planes(F32, { rows, cols: rank }).bytes];
  });
  const ofExperts = [...experts].flatMap(([x, b]) => [
    4 * x.count,
    ...Object.values(expertMapValues(x, b))
      .filter((values) => values > 0)
      .map((values) => 4 * values * b.changed.size),
  ]);
  const copies = [...lifts.values()].flatMap(({ parts }) => parts.map((p) => planes(p.layout, p).bytes));
  return [...linear, ...ofExperts, ...copies, ...(changed.size > 0 ? routers : [])];
}

/**
 * Bytes of all adapters.
 * @throws OutOfBudget when one of their buffers cannot be bound on this device
 */
export function adapterBytes(
  bound: readonly BoundAdapter[],
  spec: ModelSpec,
  room: AdapterRoom,
  bindingBytes: number,
): number {
  if (bound.length === 0) return 0;
  const buffers = [
    ...Object.values(scratchBytes(bound, spec, room)),
    ...bound.flatMap((b) => buffersOf(b, room.routers)),
  ].map(bufferBytes);
  const largest = Math.max(...buffers);
  if (largest > bindingBytes)
    throw new OutOfBudget(
      `Adapters that requests choose would need ${largest} bytes in one buffer, more than this GPU binds (${bindingBytes}): shorten prefillChunk, or merge one with the option adapter`,
      { bytes: largest, bindingBytes },
    );
  return sum(buffers);
}
