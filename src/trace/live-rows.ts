/** The rows of a live trace: one a token, in columns that grow. */
import { GrowingArray } from './growing-array.ts';
import { ABSENT, UNKNOWN_TOKEN, type Trace, type TraceModel } from './trace.ts';

/** What one token took in one layer, as a step tells it. */
export interface LiveRouting {
  readonly ids: Uint32Array; // [k]
  readonly weights: Float32Array; // [k]
  readonly logits?: Float32Array; // [e]
}

/** One row a token; of a new one everything is absent or unknown. */
export interface NewRows {
  readonly ids: Uint16Array; // [T, L, K]
  readonly weights: Float32Array; // [T, L, K]
  readonly tokens: Int32Array; // [T]
  readonly logprobs: Float32Array; // [T]
}

/**
 * Places of a token's experts that count. Where a request uses fewer than K, the places behind repeat one that is there with weight 0, and took no
 * expert.
 */
export const placesOf = ({ ids, weights }: Pick<LiveRouting, 'ids' | 'weights'>): number[] =>
  [...ids.keys()].filter((k) => weights[k] !== 0 || ids.indexOf(ids[k]!) === k);

export class LiveRows {
  readonly #model: TraceModel;
  readonly #ids = new GrowingArray((n) => new Uint16Array(n), ABSENT);
  readonly #weights = new GrowingArray((n) => new Float32Array(n), 0);
  readonly #origins = new GrowingArray((n) => new Uint8Array(n), 0);
  readonly #tokens = new GrowingArray((n) => new Int32Array(n), UNKNOWN_TOKEN);
  readonly #logprobs = new GrowingArray((n) => new Float32Array(n), NaN);
  /** Only once somebody gives some: they are the largest part. */
  #logits: GrowingArray<Float32Array> | null = null;
  #hasOrigins = false;
  #length = 0;

  constructor(model: TraceModel) {
    this.#model = model;
  }

  get length(): number {
    return this.#length;
  }

  get #width(): number {
    return this.#model.layers * this.#model.topK;
  }

  add(count: number): NewRows {
    this.#length += count;
    this.#origins.add(count * this.#width);
    this.#logits?.add(count * this.#model.layers * this.#model.experts);
    return {
      ids: this.#ids.add(count * this.#width),
      weights: this.#weights.add(count * this.#width),
      tokens: this.#tokens.add(count),
      logprobs: this.#logprobs.add(count),
    };
  }

  /** Adds a row for one token. @param routing one entry a MoE layer */
  addToken(token: number, logprob: number, routing: readonly LiveRouting[]): void {
    const row = this.add(1);
    row.tokens[0] = token;
    row.logprobs[0] = logprob;
    routing.forEach((layer, l) => {
      placesOf(layer).forEach((place, k) => {
        row.ids[l * this.#model.topK + k] = layer.ids[place]!;
        row.weights[l * this.#model.topK + k] = layer.weights[place]!;
      });
      if (layer.logits) this.setLogits((this.#length - 1) * this.#model.layers + l, layer.logits);
    });
  }

  /** @param row token * L + layer, from which on `logits` follow */
  setLogits(row: number, logits: Float32Array): void {
    const { layers, experts } = this.#model;
    if (!this.#logits) {
      this.#logits = new GrowingArray((n) => new Float32Array(n), NaN);
      this.#logits.add(this.#length * layers * experts);
    }
    this.#logits.view.set(logits, row * experts);
  }

  /** Where the experts of a token were, in the order of its ids. */
  setOrigins(token: number, layer: number, origins: readonly number[]): void {
    this.#hasOrigins = true;
    this.#origins.view.set(origins, token * this.#width + layer * this.#model.topK);
  }

  /** Of the token added last, once it is known how likely the next one was. */
  setLastLogprob(logprob: number): void {
    this.#logprobs.view[this.#length - 1] = logprob;
  }

  drop(tokens: number): void {
    this.#length -= tokens;
    for (const column of [this.#ids, this.#weights, this.#origins]) column.drop(tokens * this.#width);
    for (const column of [this.#tokens, this.#logprobs]) column.drop(tokens);
    this.#logits?.drop(tokens * this.#model.layers * this.#model.experts);
  }

  /** Views, not copies. */
  get columns(): Pick<Trace, 'ids' | 'weights' | 'origins' | 'tokens' | 'logprobs' | 'logits'> {
    return {
      ids: this.#ids.view,
      weights: this.#weights.view,
      origins: this.#hasOrigins ? this.#origins.view : null,
      tokens: this.#tokens.view,
      logprobs: this.#logprobs.view,
      ...(this.#logits && { logits: this.#logits.view }),
    };
  }
}
