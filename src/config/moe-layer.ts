/** One MoE layer that stands alone and can be trained: its options resolved (src/layer/options.ts), as kernels and their twins read them. */

export interface ExpertGroups {
  readonly count: number;
  /** So many groups of a token take part. */
  readonly keep: number;
  /** A group counts as its best expert, or as the sum of its two best. */
  readonly rank: 'max' | 'top2-sum';
}

export interface LayerShape {
  readonly hidden: number; // D
  readonly width: number; // F
  readonly experts: number; // E
  /** Choices without an expert behind them, with ids from E on. */
  readonly zeroExperts: number;
  /** What such a choice gives: nothing, or the token itself. */
  readonly zeroGives: 'zero' | 'identity';
  /** K; E where experts choose, so that choice k is expert k. */
  readonly topK: number;
  readonly sharedExperts: number;
  /** PR-MoE: one more expert that every token takes, mixed with the routed ones by two learned coefficients. */
  readonly residual: boolean;
  readonly activation: 'silu' | 'gelu-tanh';
  readonly chooses: 'scores' | 'experts' | 'hash' | 'random';
  readonly score: 'softmax' | 'sigmoid' | 'sqrt-softplus';
  /** Each of a token's choices weighs 1 / K, whatever the router says. */
  readonly uniformWeights: boolean;
  readonly noise: 'none' | 'jitter' | 'gumbel' | 'noisy-top-k';
  /** The router's input is multiplied by uniform values of 1 ± this. */
  readonly jitter: number;
  readonly groups: ExpertGroups | null;
  /** Weights are divided by their sum over what a token chose, or over what of that was kept. */
  readonly normalize: 'none' | 'before-drop' | 'after-drop';
  readonly scale: number;
  /** Who is dropped last: by place in the batch (all first choices before all second ones, or token by token), by score, or by lot. */
  readonly fill: 'choice-order' | 'token-order' | 'scores' | 'lot';
  /** DeepSpeed: the second expert is drawn by Gumbel noise among all but the first. */
  readonly secondSampled: boolean;
  /** GShard: the second expert is used with the probability of twice its weight. */
  readonly secondRandom: boolean;
}

/** What changes from one run to the next. */
export interface LayerStep {
  readonly tokens: number; // T
  /** Only then is there noise, sampling and lot. */
  readonly training: boolean;
  /** Tokens that an expert takes at most. */
  readonly capacity: number;
  readonly seed: number;
  /** Draws depend on it, on the seed, and on nothing else. */
  readonly step: number;
  /** Tokens of one sequence, for the sequence-wise loss. */
  readonly sequence: number;
}

/** Rows of the router that score a choice: E and the zero experts. */
export const choicesOf = ({ experts, zeroExperts }: LayerShape): number => experts + zeroExperts;

/** All rows of the router: scores, then the noise of noisy top-k, then the two mixing coefficients. */
export const routerRows = (shape: LayerShape): number =>
  choicesOf(shape) * (shape.noise === 'noisy-top-k' ? 2 : 1) + (shape.residual ? 2 : 0);

/** Experts with weights: routed, shared, residual. */
export const ffnsOf = ({ experts, sharedExperts, residual }: LayerShape): number =>
  experts + sharedExperts + Number(residual);

/** Pairs of a token: its choices, then those that every token takes. */
export const pairsOf = (shape: LayerShape): number => shape.topK + ffnsOf(shape) - shape.experts;
