/** What a cache did at each step of a trace: as recorded, or replayed with a rule and a size where nothing was recorded. */
import { replayAside } from '../trace/replay.ts';
import { ORIGINS, type Provenance, type Trace } from '../trace/trace.ts';
import type { Control } from './view.ts';
import { POLICY_NAMES } from '../policy/index.ts';
import { percent } from './words.ts';

export interface CacheSteps {
  /** false: a replay, and views say so. */
  readonly isRecorded: boolean;
  /** Of each step, [N]. */
  readonly needed: Uint32Array;
  readonly hits: Uint32Array;
  readonly prefetched: Uint32Array;
  readonly bytes: Float64Array;
}

export interface CacheState extends Readonly<Record<string, string | number>> {
  readonly policy: string;
  readonly share: number;
}
export const CACHE_STATE: CacheState = { policy: 'next-use', share: 0.25 };

/** As papers write them. */
export const ruleName = (rule: string): string => ({ lru: 'LRU', lfu: 'LFU', belady: 'Belady' })[rule] ?? rule;

export const cacheControls: readonly Control[] = [
  {
    kind: 'choice',
    name: 'policy',
    label: 'Rule',
    options: [...POLICY_NAMES, 'belady'].map((name) => [name, ruleName(name)]),
  },
  {
    kind: 'range',
    name: 'share',
    label: 'Experts with a slot',
    min: 0.05,
    max: 1,
    step: 0.05,
    format: (value) => percent(value, 0),
  },
];

/** 0: nobody knows; from there on as ORIGINS. */
const SLOT = ORIGINS.indexOf('slot');
const PREFETCHED = ORIGINS.indexOf('prefetched');

export const slotsOf = ({ model }: Trace, share: number): number =>
  Math.max(1, Math.round(share * model.layers * model.experts));

const empty = (n: number, isRecorded: boolean): CacheSteps => ({
  isRecorded,
  needed: new Uint32Array(n),
  hits: new Uint32Array(n),
  prefetched: new Uint32Array(n),
  bytes: new Float64Array(n),
});

/** What really happened is in the trace. */
export const isCacheRecorded = ({ origins }: Trace): boolean => origins?.some((origin) => origin > 0) ?? false;

/** Of a view that replays: the routing may be recorded, the cache is not. */
export const replayProvenance = ({ provenance }: Trace): Provenance => ({
  kind: 'simulation',
  note: `A cache replayed on: ${provenance?.note ?? 'this trace'}`,
});

/** By distinct experts of a step and layer, as a cache sees them. */
export async function cacheSteps(trace: Trace, { policy, share }: CacheState): Promise<CacheSteps> {
  if (isCacheRecorded(trace)) return recordedSteps(trace, trace.origins!);
  const steps = empty(trace.steps.length, false);
  await replayAside(trace, {
    policy,
    capacity: { slots: slotsOf(trace, share) },
    watch: ({ step, needed, hits, bytes }) => {
      steps.needed[step]! += needed.length;
      steps.hits[step]! += hits;
      steps.bytes[step]! += bytes;
    },
  });
  return steps;
}

function recordedSteps({ model, steps, ids, timing }: Trace, origins: Uint8Array): CacheSteps {
  const { layers, topK, experts } = model;
  const found = empty(steps.length, true);
  const seen = new Int32Array(layers * experts).fill(-1);
  let at = 0;
  steps.forEach(({ tokens }, step) => {
    for (const end = at + tokens * layers * topK; at < end; at++) {
      const origin = origins[at]!;
      const id = ids[at]!;
      const layer = Math.floor(at / topK) % layers;
      if (id >= experts || seen[layer * experts + id] === step) continue;
      seen[layer * experts + id] = step;
      found.needed[step]!++;
      if (origin === SLOT || origin === PREFETCHED) found.hits[step]!++;
      if (origin === PREFETCHED) found.prefetched[step]!++;
      if (origin > PREFETCHED) found.bytes[step]! += model.expertBytes[layer]!;
    }
    if (timing) found.bytes[step] = timing.diskBytes[step]! + timing.networkBytes[step]!;
  });
  return found;
}
