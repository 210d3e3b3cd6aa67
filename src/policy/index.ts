/** The residency policies by name. */
import { InvalidRequest } from '../errors.ts';
import { lfu } from './lfu.ts';
import { lru } from './lru.ts';
import { nextUse } from './next-use.ts';
import type { PolicyShape, ResidencyPolicy } from './policy.ts';
import { staticHot } from './static-hot.ts';

export const POLICY_NAMES = ['next-use', 'lru', 'lfu', 'static-hot'] as const;
export type PolicyName = (typeof POLICY_NAMES)[number];
export const DEFAULT_POLICY: PolicyName = 'next-use';

export interface PolicyOptions {
  /** An earlier session's popularity, [layers, experts]. */
  readonly warm?: ArrayLike<number>;
}

const FACTORIES: Readonly<Record<PolicyName, (shape: PolicyShape) => ResidencyPolicy>> = {
  'next-use': nextUse,
  lru,
  lfu,
  'static-hot': staticHot,
};

/** @throws InvalidRequest for a name that is none of POLICY_NAMES, or a popularity of another shape */
export function createPolicy(name: string, shape: PolicyShape, options: PolicyOptions = {}): ResidencyPolicy {
  const known = POLICY_NAMES.find((n) => n === name);
  if (!known)
    throw new InvalidRequest(`there is no policy ${name}; there are ${POLICY_NAMES.join(', ')}`, { policy: name });
  const policy = FACTORIES[known](shape);
  const { warm } = options;
  if (warm) {
    const size = shape.layers * shape.experts;
    if (warm.length !== size || !Array.from(warm).every((p) => p >= 0 && p <= 1))
      throw new InvalidRequest(`a popularity must hold ${size} chances from 0 to 1, got ${warm.length} numbers`, {});
    policy.warm(warm);
  }
  return policy;
}

export type { PolicyShape, ResidencyPolicy } from './policy.ts';
export { Ghost, type GhostPoint } from './ghost.ts';
export {
  GOVERNOR_DEFAULTS,
  PrefetchGovernor,
  type Displacement,
  type GovernorOptions,
  type GovernorStats,
} from './governor.ts';
