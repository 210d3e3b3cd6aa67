/** What most families' attention and router are, for families to change in a few places. */
import type { Heads } from '../config/axes.ts';
import type { GroupedAttention, RopeConfig, RouterConfig } from '../config/model-config.ts';

export const groupedAttention = (
  heads: Heads,
  rope: RopeConfig,
  other: Partial<Omit<GroupedAttention, 'kind' | 'rope'>> = {},
): GroupedAttention => ({
  kind: 'grouped',
  ...heads,
  scale: heads.headSize ** -0.5,
  qkNorm: 'none',
  clip: null,
  bias: { qkv: false, o: false },
  window: null,
  sinks: false,
  rope,
  ...other,
});

export const softmaxRouter = (other: Partial<RouterConfig> = {}): RouterConfig => ({
  score: 'softmax',
  logitBias: false,
  selectionBias: false,
  groups: null,
  renormalize: null,
  scale: 1,
  ...other,
});

/** A gate on every value of attention, as most families with gates have it. */
export const SIGMOID_GATE = { of: 'value', by: 'sigmoid' } as const;
