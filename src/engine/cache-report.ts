/** How well the cache did on the session's own tokens, against other policies and against the best that any policy could have done. */
import { POLICY_NAMES } from '../policy/index.ts';
import { replayAside } from '../trace/replay.ts';
import type { Visits } from '../trace/visits.ts';
import type { CacheReport } from './expert-stats.ts';
import type { Plan } from './plan.ts';

export interface CacheReportParts {
  readonly visits: Visits;
  readonly plan: Plan;
  /** The policy in use. */
  readonly policy: string;
  readonly signal?: AbortSignal | undefined;
}

/** Replays from empty slots, a policy after the other, in slices of a few milliseconds. @throws the signal's reason */
export async function reportCache({ visits, plan, policy, signal }: CacheReportParts): Promise<CacheReport> {
  const { arenas, slots } = plan;
  const pooling = arenas.map((arena) => ({ layers: arena.layers, capacity: arena.slots }));
  const capacity = { slots: slots.count };
  const hitRate = async (name: string): Promise<number> =>
    (await replayAside(visits, { policy: name, capacity, pooling }, { signal })).decodeHitRate;
  const belady = await hitRate('belady');
  const policies: CacheReport['policies'][number][] = [];
  for (const name of POLICY_NAMES) {
    const rate = await hitRate(name);
    policies.push({ name, hitRate: rate, ofBelady: belady > 0 ? rate / belady : 1 });
  }
  return {
    tokens: visits.decodeTokens,
    slots: slots.count,
    experts: slots.experts,
    policy,
    belady,
    policies,
    ofBelady: policies.find(({ name }) => name === policy)?.ofBelady ?? null,
  };
}
