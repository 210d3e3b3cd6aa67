/** What a caller may ask of the sampler, checked, over what the checkpoint's generation_config.json recommends. */
import { InvalidCheckpoint, InvalidRequest } from '../errors.ts';
import type { SamplingParams } from '../gpu/step.ts';

export interface SamplingOptions {
  /** At least 0; 0 always takes the likeliest token. */
  readonly temperature?: number | undefined;
  /** Keep this many of the likeliest tokens; 0 keeps all. */
  readonly topK?: number | undefined;
  /** Above 0, at most 1: keep the likeliest tokens until their probabilities sum to this. */
  readonly topP?: number | undefined;
  /** At least 0, below 1: keep tokens at least this share as likely as the likeliest. */
  readonly minP?: number | undefined;
  /** Above 0; above 1 makes tokens of the prompt and the answer less likely to come again. */
  readonly repetitionPenalty?: number | undefined;
  /** Subtracted from the logit of every token of the answer so far. */
  readonly presencePenalty?: number | undefined;
  /** Subtracted from it once for each time the answer used it. */
  readonly frequencyPenalty?: number | undefined;
  /** A whole number, of which 32 bits count. Same seed, prompt and options: same answer. Default: a new one each time. */
  readonly seed?: number | undefined;
}

/** From generation_config.json; null and absent are alike. */
export interface SamplingDefaults {
  readonly doSample?: boolean | null | undefined;
  readonly temperature?: number | null | undefined;
  readonly topK?: number | null | undefined;
  readonly topP?: number | null | undefined;
  readonly minP?: number | null | undefined;
  readonly repetitionPenalty?: number | null | undefined;
}

type Field = Exclude<keyof SamplingParams, 'seed'>;

interface Rule {
  /** Its name in generation_config.json, where it has one. */
  readonly key: keyof SamplingDefaults | null;
  /** The value that changes nothing. */
  readonly off: number;
  readonly allowed: (value: number) => boolean;
  readonly expected: string;
}

const rule = (key: Rule['key'], off: number, allowed: Rule['allowed'], expected: string): Rule => ({
  key,
  off,
  allowed,
  expected,
});

const RULES: Readonly<Record<Field, Rule>> = {
  temperature: rule('temperature', 1, (v) => v >= 0, 'a number of at least 0'),
  topK: rule('topK', 0, (v) => Number.isInteger(v) && v >= 0, 'a whole number of at least 0'),
  topP: rule('topP', 1, (v) => v > 0 && v <= 1, 'a number above 0 and at most 1'),
  minP: rule('minP', 0, (v) => v >= 0 && v < 1, 'a number of at least 0 and below 1'),
  repetitionPenalty: rule('repetitionPenalty', 1, (v) => v > 0, 'a number above 0'),
  presencePenalty: rule(null, 0, () => true, 'a finite number'),
  frequencyPenalty: rule(null, 0, () => true, 'a finite number'),
};

const isGood = (value: unknown, { allowed }: Rule): value is number =>
  typeof value === 'number' && Number.isFinite(value) && allowed(value);

const asked = (options: SamplingOptions, field: Field): number | undefined => {
  const value: unknown = options[field];
  if (value === undefined || isGood(value, RULES[field])) return value;
  throw new InvalidRequest(`${field} must be ${RULES[field].expected}, got ${String(value)}`, { field, value });
};

const recommended = (defaults: SamplingDefaults, field: Field): number | undefined => {
  const { key, expected } = RULES[field];
  const value: unknown = (key && defaults[key]) ?? undefined;
  if (value === undefined || isGood(value, RULES[field])) return value;
  const name = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  throw new InvalidCheckpoint('config', `generation_config.json: ${name} must be ${expected}, found ${String(value)}`, {
    key: name,
    found: value,
  });
};

const seedOf = (seed: unknown): number => {
  if (seed === undefined) return crypto.getRandomValues(new Uint32Array(1))[0]!;
  if (!Number.isSafeInteger(seed))
    throw new InvalidRequest(`seed must be a whole number, got ${String(seed)}`, { field: 'seed', value: seed });
  return (seed as number) >>> 0;
};

/**
 * What the caller gives wins, then what the checkpoint recommends, then "off". A checkpoint without `do_sample: true` is greedy unless the
 * caller gives a temperature, as in transformers. The parameters returned always carry the seed in use.
 * @throws InvalidRequest naming the option; InvalidCheckpoint naming the key of generation_config.json
 */
export function resolveSampling(options: SamplingOptions = {}, defaults: SamplingDefaults = {}): SamplingParams {
  const pick = (field: Field): number => asked(options, field) ?? recommended(defaults, field) ?? RULES[field].off;
  const isGreedy = defaults.doSample !== true && options.temperature === undefined;
  return {
    temperature: isGreedy ? 0 : pick('temperature'),
    topK: Math.min(pick('topK'), 2 ** 32 - 1), // a u32 on the GPU; no vocabulary is longer
    topP: pick('topP'),
    minP: pick('minP'),
    repetitionPenalty: pick('repetitionPenalty'),
    presencePenalty: pick('presencePenalty'),
    frequencyPenalty: pick('frequencyPenalty'),
    seed: seedOf(options.seed),
  };
}

/** All that a request may ask of the sampler but the seed, with a value each. */
export type SamplingDefault = Readonly<Record<Field, number>>;

/** What `resolveSampling` gives a request that asks for nothing. */
export function samplingDefaults(defaults: SamplingDefaults = {}): SamplingDefault {
  const all = resolveSampling({ seed: 0 }, defaults);
  return Object.fromEntries((Object.keys(RULES) as Field[]).map((field) => [field, all[field]])) as SamplingDefault;
}
