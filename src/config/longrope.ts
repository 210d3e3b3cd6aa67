/**
 * LongRoPE: frequencies are divided by factors of their own, and there are two lists of them, one for contexts as long as those of pretraining and one
 * for longer ones. Here the length that a session is opened with decides, once for all its positions.
 */
import { attentionLayers } from './mixers.ts';
import type { ModelConfig, RopeConfig } from './model-config.ts';
import type { ConfigReader, Json } from './read.ts';

type Turn = Pick<RopeConfig, 'inverseFrequencies' | 'amplitude'>;

/** Which of the two lists of factors a context has. */
export interface LongRopeChoice {
  readonly factors: 'short' | 'long';
  /** The longest context with short factors, in tokens. */
  readonly shortUpTo: number;
}

const isFactor = (item: Json): item is number => typeof item === 'number' && item > 0 && Number.isFinite(item);

function divided(c: ConfigReader, key: string, frequencies: readonly number[]): number[] {
  const factors = c.list(key, isFactor, 'positive numbers');
  if (factors.length !== frequencies.length)
    c.fail(key, `a list of ${frequencies.length} numbers, one for each pair of a head that rotates`);
  return frequencies.map((f, j) => f / factors[j]!);
}

/**
 * Reads `short_factor`, `long_factor`, and what cos and sin are multiplied by: `short_mscale` and `long_mscale` (PhiMoE), else `attention_factor`,
 * else sqrt(1 + ln(factor) / ln(original)).
 * @param original the context of pretraining, in tokens, at least 2
 * @param maxContext the longest context, where `factor` does not say how many times the original it is
 */
export function readLongRope(
  c: ConfigReader,
  { frequencies, original, maxContext }: { frequencies: readonly number[]; original: number; maxContext: number },
): { readonly short: Turn; readonly long: NonNullable<RopeConfig['long']> } {
  const factor = c.number('factor', { min: 1, fallback: Math.max(1, maxContext / original) });
  const byDefault = c.number('attention_factor', {
    min: 0,
    fallback: Math.sqrt(1 + Math.log(factor) / Math.log(original)),
  });
  const turn = (length: 'short' | 'long'): Turn => ({
    inverseFrequencies: divided(c, `${length}_factor`, frequencies),
    amplitude: c.number(`${length}_mscale`, { min: 0, fallback: byDefault }),
  });
  return { short: turn('short'), long: { beyond: original, ...turn('long') } };
}

/**
 * The rotation in a context of so many tokens: of all its positions, as in vLLM. transformers goes by the length that a sequence has, and keeps the
 * keys that it turned before: the same for every sequence within the original context, and for one prompt beyond it.
 */
export function ropeIn({ long, ...short }: RopeConfig, context: number): RopeConfig {
  if (!long || context <= long.beyond) return short;
  const { inverseFrequencies, amplitude } = long;
  return { ...short, inverseFrequencies, amplitude };
}

/** null: the model has but one rotation. */
export function longRopeIn(config: ModelConfig, context: number): LongRopeChoice | null {
  const long = attentionLayers(config).find(({ rope }) => rope.long)?.rope.long;
  return long ? { factors: context > long.beyond ? 'long' : 'short', shortUpTo: long.beyond } : null;
}
