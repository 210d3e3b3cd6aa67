/**
 * Replays a trace through a cache and counts. One event is one visit: each distinct expert is looked up once, misses become resident, and only then
 * does the policy make room, never among the visit's own experts. So a visit may hold more than the capacity until it ends, as a prompt does.
 */
import { InvalidRequest } from '../errors.ts';
import { belady } from '../policy/belady.ts';
import { createPolicy } from '../policy/index.ts';
import type { ResidencyPolicy } from '../policy/policy.ts';
import { Pools, type Pooling } from './pool.ts';
import { visitsOf, type Visits } from './visits.ts';
import type { Trace } from './trace.ts';

export interface ReplayOptions {
  /** A name of createPolicy, `belady`, or a policy of one's own, made anew for each replay. */
  readonly policy: string | (() => ResidencyPolicy);
  /** Equal slots, or bytes where experts differ in size by layer. */
  readonly capacity: { readonly slots: number } | { readonly bytes: number };
  readonly pooling?: Pooling;
  /** Popularity that the policy starts from, [L, E]. */
  readonly warm?: ArrayLike<number>;
  /** Told of each visit when it is over. */
  readonly watch?: (visit: ReplayedVisit) => void;
}

export interface ReplayedVisit {
  readonly step: number;
  readonly layer: number;
  /** Experts that the step needed in this layer, and how many of them were resident. */
  readonly needed: Uint16Array;
  readonly hits: number;
  readonly bytes: number;
  /** After it. */
  has(layer: number, expert: number): boolean;
}

export interface ReplayResult {
  readonly policy: string;
  readonly lookups: number;
  readonly hits: number;
  readonly hitRate: number;
  readonly decodeLookups: number;
  readonly decodeHits: number;
  /** Without prompts: the figure that policies are compared by. */
  readonly decodeHitRate: number;
  /** Share of a decoded token's layers with all of its experts resident. */
  readonly fullLayerRate: number;
  readonly loads: number;
  readonly bytes: number;
  readonly decodeLoadsPerToken: number;
  readonly decodeBytesPerToken: number;
  /** Of all loads, those of experts that were resident before. */
  readonly rereadRatio: number;
  /** Of all misses, the first use of an expert in the trace: no demand cache avoids them. */
  readonly compulsoryShare: number;
}

export function policyFor({ policy, warm }: Pick<ReplayOptions, 'policy' | 'warm'>, visits: Visits): ResidencyPolicy {
  if (typeof policy === 'function') return policy();
  const { layers, experts } = visits.model;
  return policy === 'belady'
    ? belady({ layers, experts }, futureOf(visits))
    : createPolicy(policy, { layers, experts }, warm ? { warm } : {});
}

function* futureOf({ layer, start, experts }: Visits): Generator<{ layer: number; experts: Uint16Array }> {
  for (let v = 0; v < layer.length; v++) yield { layer: layer[v]!, experts: experts.subarray(start[v], start[v + 1]) };
}

/** @throws InvalidRequest for a capacity below one, or a policy that does not exist */
export function replay(trace: Trace | Visits, options: ReplayOptions): ReplayResult {
  const parts = replayInParts(trace, options);
  for (;;) {
    const part = parts.next();
    if (part.done) return part.value;
  }
}

/** As `replay`, for slices of about `sliceMs` between which other work gets its turn. @throws the signal's reason */
export async function replayAside(
  trace: Trace | Visits,
  options: ReplayOptions,
  { sliceMs = 8, signal }: { readonly sliceMs?: number; readonly signal?: AbortSignal | undefined } = {},
): Promise<ReplayResult> {
  const parts = replayInParts(trace, options);
  for (let since = -Infinity; ;) {
    if (performance.now() - since >= sliceMs) {
      await new Promise((resolve) => setTimeout(resolve, 0));
      signal?.throwIfAborted();
      since = performance.now();
    }
    const part = parts.next();
    if (part.done) return part.value;
  }
}

/** Visits between two pauses. */
const PART = 16;

function* replayInParts(trace: Trace | Visits, options: ReplayOptions): Generator<void, ReplayResult> {
  const visits = 'start' in trace ? trace : visitsOf(trace);
  const { model, layer: layerOf, isDecode, start, experts } = visits;
  const { layers, experts: count, expertBytes } = model;
  const policy = policyFor(options, visits);
  const pools = openPools(visits, options);
  const inVisit = new Int32Array(layers * count).fill(-1); // the last visit that used it
  const wasHeld = new Uint8Array(layers * count);
  const isKept = (key: number): boolean => inVisit[key] === now;
  const total = { lookups: 0, hits: 0, bytes: 0, rereads: 0, first: 0 };
  const decode = { lookups: 0, hits: 0, bytes: 0, visits: 0, full: 0 };
  let now = 0;
  for (; now < layerOf.length; now++) {
    if (now % PART === 0) yield;
    const layer = layerOf[now]!;
    const used = experts.subarray(start[now], start[now + 1]);
    let hits = 0;
    for (const expert of used) {
      const key = layer * count + expert;
      inVisit[key] = now;
      if (pools.has(layer, expert)) {
        hits++;
        continue;
      }
      if (wasHeld[key]) total.rereads++;
      else total.first++;
      wasHeld[key] = 1;
      pools.add(layer, expert);
    }
    const read = (used.length - hits) * expertBytes[layer]!;
    total.lookups += used.length;
    total.hits += hits;
    total.bytes += read;
    if (isDecode[now]) {
      decode.lookups += used.length;
      decode.hits += hits;
      decode.bytes += read;
      decode.visits++;
      if (hits === used.length) decode.full++;
    }
    policy.visit(layer, used, visits.weights.subarray(start[now], start[now + 1]));
    for (const victim of pools.victims(policy, layer, isKept)) pools.remove(victim);
    options.watch?.({
      step: visits.step[now]!,
      layer,
      needed: used,
      hits,
      bytes: read,
      has: (l, expert) => pools.has(l, expert),
    });
  }
  const loads = total.lookups - total.hits;
  const rate = (part: number, whole: number): number => (whole ? part / whole : 0);
  return {
    policy: policy.name,
    lookups: total.lookups,
    hits: total.hits,
    hitRate: rate(total.hits, total.lookups),
    decodeLookups: decode.lookups,
    decodeHits: decode.hits,
    decodeHitRate: rate(decode.hits, decode.lookups),
    fullLayerRate: rate(decode.full, decode.visits),
    loads,
    bytes: total.bytes,
    decodeLoadsPerToken: rate(decode.lookups - decode.hits, visits.decodeTokens),
    decodeBytesPerToken: rate(decode.bytes, visits.decodeTokens),
    rereadRatio: rate(total.rereads, loads),
    compulsoryShare: rate(total.first, loads),
  };
}

export function openPools(
  { model }: Visits,
  { capacity, pooling }: Pick<ReplayOptions, 'capacity' | 'pooling'>,
): Pools {
  const size = 'slots' in capacity ? capacity.slots : capacity.bytes;
  if (!Number.isInteger(size) || size < 1)
    throw new InvalidRequest(`a capacity must be a whole number of at least 1, got ${size}`, { capacity: size });
  if (typeof pooling === 'number' && (!Number.isInteger(pooling) || pooling < 1))
    throw new InvalidRequest(`a group must have at least one layer, got ${pooling}`, { pooling });
  return new Pools({
    shape: { layers: model.layers, experts: model.experts },
    pooling: pooling ?? 'global',
    capacity: size,
    sizes: 'slots' in capacity ? new Uint8Array(model.layers).fill(1) : model.expertBytes,
  });
}
