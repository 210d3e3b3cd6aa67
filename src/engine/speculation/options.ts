/** What a caller may ask of speculation: see docs/speculation.md. */
import { InvalidRequest } from '../../errors.ts';
import { FEW_TOKENS } from '../../kernels/phase.ts';

/**
 * `true`: wherever the text before gives a guess; `false`: never; by default where the measured time says that it pays. Answers are the same either way.
 */
export type SpeculateOption =
  | boolean
  | {
      /** Most tokens that are guessed at a time, 1 to 7. Default 7. */
      readonly most?: number;
      /** The guess is what followed the last time after the same so many last tokens, or after fewer, but two. 2 to 8; default 3. */
      readonly ngram?: number;
    };

export interface Speculation {
  readonly most: number;
  readonly ngram: number;
  /** Only as far as it pays. */
  readonly isGoverned: boolean;
}

const DEFAULTS = { most: FEW_TOKENS - 1, ngram: 3 };

/** @returns null: none. @throws InvalidRequest naming the option */
export function resolveSpeculation(option: SpeculateOption | undefined, byDefault: boolean): Speculation | null {
  if (option === false || (option === undefined && !byDefault)) return null;
  const { most, ngram } = { ...DEFAULTS, ...(typeof option === 'object' ? option : {}) };
  check('most', most, 1, FEW_TOKENS - 1);
  check('ngram', ngram, 2, 8);
  return { most, ngram, isGoverned: option === undefined };
}

function check(field: string, value: unknown, least: number, most: number): void {
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return;
  throw new InvalidRequest(`speculate.${field} must be a whole number from ${least} to ${most}, got ${String(value)}`, {
    field: `speculate.${field}`,
    value,
  });
}
