/** How many tokens an expert takes at most. */
export interface CapacityRule {
  /** Choices of a token that count: K, or 1 where experts choose. */
  readonly perToken: number;
  readonly factor: number;
  readonly least: number;
}

/**
 * max(ceil(T / E * (factor * k)), min_capacity): the rule of Switch, of GShard (k = 2) and of DeepSpeed. In f32, as frameworks compute it, so that
 * 100 tokens of 10 experts at 1.1 are 11, and not the 12 of doubles, where 1.1 * 100 is more than 110.
 */
export function capacityOf(tokens: number, experts: number, { perToken, factor, least }: CapacityRule): number {
  const exact = Math.fround(Math.fround(tokens / experts) * Math.fround(factor * perToken));
  return Math.max(Math.ceil(exact), least);
}
