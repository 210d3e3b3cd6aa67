/** One vector a text, from the hidden states of all its tokens. */
import { InvalidRequest } from '../errors.ts';
import type { Pooling } from './pooling.ts';
import { scoreFinalHidden, type Scorer } from './scoring.ts';

export interface EmbedOptions {
  /** `mean` of all tokens' hidden states, or that of the `first` or the `last` token. Default: as the model's 1_Pooling/config.json says, else `mean`. */
  readonly pooling?: Pooling;
  /** Scales each vector to length 1. Default true. */
  readonly normalize?: boolean;
  /** Ends the work with its reason; the model stays usable. */
  readonly signal?: AbortSignal;
}

/** @throws InvalidRequest for a pooling that is none */
export function checkPooling(pooling: unknown): void {
  if (pooling === undefined || pooling === 'mean' || pooling === 'first' || pooling === 'last') return;
  throw new InvalidRequest(`pooling must be 'mean', 'first' or 'last', got ${String(pooling)}`, {
    field: 'pooling',
    value: pooling,
  });
}

/** Gathers rows [.., D] of hidden states, chunk by chunk, in doubles. */
export class Pool {
  readonly #sums: Float64Array;
  readonly #pooling: Pooling;
  #rows = 0;

  constructor(hidden: number, pooling: EmbedOptions['pooling'] = 'mean') {
    this.#sums = new Float64Array(hidden);
    this.#pooling = pooling;
  }

  /** @param values [rows, D] */
  add(values: Float32Array): void {
    const hidden = this.#sums.length;
    if (this.#pooling === 'first') {
      if (this.#rows === 0) this.#sums.set(values.subarray(0, hidden));
      this.#rows = 1;
      return;
    }
    if (this.#pooling === 'last') {
      this.#sums.set(values.subarray(values.length - hidden));
      this.#rows = 1;
      return;
    }
    for (let at = 0; at < values.length; at++) this.#sums[at % hidden]! += values[at]!;
    this.#rows += values.length / hidden;
  }

  /** [D] */
  vector(normalize = true): Float32Array<ArrayBuffer> {
    const means = this.#sums.map((sum) => sum / this.#rows);
    const length = normalize ? Math.sqrt(means.reduce((total, v) => total + v * v, 0)) || 1 : 1;
    return Float32Array.from(means, (v) => v / length);
  }
}

/** The vector [D] of a text's tokens. */
export async function embedTokens(
  scorer: Scorer,
  ids: readonly number[],
  hidden: number,
  { pooling, normalize, signal }: EmbedOptions,
): Promise<Float32Array<ArrayBuffer>> {
  const pool = new Pool(hidden, pooling);
  await scoreFinalHidden(scorer, ids, (values) => pool.add(values), signal);
  return pool.vector(normalize);
}
