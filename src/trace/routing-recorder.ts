/** Collects the routing of a run token by token, in arrays that grow. */
import { NO_EXPERT, type RoutedTokens, type RoutingLevel, type RunRouting } from './run-routing.ts';

/** Of one MoE layer: T tokens, one after the other. */
export interface LayerRows {
  readonly ids: Uint32Array; // [T, k]
  readonly weights: Float32Array; // [T, k]
  readonly logits?: Float32Array | undefined; // [T, e]
}

export interface RecorderShape {
  readonly level: RoutingLevel;
  readonly layers: number; // L
  readonly experts: number; // E
  readonly topK: number; // K
}

/** Rows of tokens that went into the model one after the other. */
class Rows {
  readonly #shape: RecorderShape;
  readonly counts: Uint32Array;
  readonly #tokens: number[] = [];
  #ids = new Int16Array(0);
  #weights = new Float32Array(0);
  #logits = new Float32Array(0);

  constructor(shape: RecorderShape) {
    this.#shape = shape;
    this.counts = new Uint32Array(shape.layers * shape.experts);
  }

  /** @param routing one entry a MoE layer; none: absent */
  add(tokens: readonly number[], routing: readonly LayerRows[]): void {
    const { level, layers, topK } = this.#shape;
    const from = this.#tokens.length;
    if (level !== 'counts') this.#reserve(tokens);
    routing.forEach((rows, layer) => {
      const k = rows.ids.length / tokens.length;
      for (let t = 0; t < tokens.length; t++) {
        this.#row(((from + t) * layers + layer) * topK, layer, rows, t * k, k);
        if (level === 'logits' && rows.logits)
          this.#logitRow((from + t) * layers + layer, rows.logits, t, tokens.length);
      }
    });
  }

  /** Room for more tokens, all absent. */
  #reserve(tokens: readonly number[]): void {
    const { level, layers, experts, topK } = this.#shape;
    for (const token of tokens) this.#tokens.push(token);
    const count = this.#tokens.length * layers;
    this.#ids = grown(this.#ids, count * topK, (n) => new Int16Array(n).fill(NO_EXPERT));
    this.#weights = grown(this.#weights, count * topK, (n) => new Float32Array(n));
    if (level === 'logits') this.#logits = grown(this.#logits, count * experts, (n) => new Float32Array(n).fill(NaN));
  }

  /** One token in one layer. A dropped pair repeats an id that is there, with weight 0: it took no expert. */
  #row(to: number, layer: number, { ids, weights }: LayerRows, from: number, k: number): void {
    const { level, experts } = this.#shape;
    for (let i = from, at = to; i < from + k; i++) {
      const id = ids[i]!;
      if (weights[i] === 0 && ids.subarray(from, i).includes(id)) continue;
      this.counts[layer * experts + id]!++;
      if (level === 'counts') continue;
      this.#ids[at] = id;
      this.#weights[at++] = weights[i]!;
    }
  }

  #logitRow(row: number, logits: Float32Array, t: number, tokens: number): void {
    const e = logits.length / tokens;
    this.#logits.set(logits.subarray(t * e, (t + 1) * e), row * this.#shape.experts);
  }

  tokens(): RoutedTokens | null {
    const { level, layers, experts, topK } = this.#shape;
    if (level === 'off' || level === 'counts') return null;
    const tokens = this.#tokens.length;
    const ids = this.#ids.slice(0, tokens * layers * topK);
    return {
      token_ids: Int32Array.from(this.#tokens),
      shape: [tokens, layers, topK],
      routed_experts: experts > 256 || ids.includes(NO_EXPERT) ? ids : Uint8Array.from(ids),
      router_weights: this.#weights.slice(0, tokens * layers * topK),
      router_logits: level === 'logits' ? this.#logits.slice(0, tokens * layers * experts) : null,
    };
  }
}

function grown<T extends Int16Array | Float32Array>(old: T, length: number, make: (length: number) => T): T {
  if (length <= old.length) return old;
  const larger = make(Math.max(length, 2 * old.length));
  larger.set(old);
  return larger;
}

/** Of a few tokens by themselves. @returns null at levels below `ids` */
export function routedTokens(
  shape: RecorderShape,
  tokens: readonly number[],
  routing: readonly LayerRows[],
): RoutedTokens | null {
  const rows = new Rows(shape);
  rows.add(tokens, routing);
  return rows.tokens();
}

export class RoutingRecorder {
  readonly shape: RecorderShape;
  readonly #prompt: Rows | null;
  readonly #generation: Rows;

  constructor(shape: RecorderShape, options: { readonly prompt: boolean }) {
    this.shape = shape;
    this.#prompt = options.prompt ? new Rows(shape) : null;
    this.#generation = new Rows(shape);
  }

  /** Tokens of the prompt, in order. @param routing empty for tokens that came from the cache */
  prompt(tokens: readonly number[], routing: readonly LayerRows[]): void {
    this.#prompt?.add(tokens, routing);
  }

  /** A token of the answer went into the model. */
  generated(token: number, routing: readonly LayerRows[]): void {
    if (this.shape.level !== 'off') this.#generation.add([token], routing);
  }

  routing(): RunRouting {
    const isOff = this.shape.level === 'off';
    return {
      ...this.shape,
      counts: isOff
        ? null
        : { prompt: this.#prompt?.counts.slice() ?? null, generation: this.#generation.counts.slice() },
      prompt: this.#prompt?.tokens() ?? null,
      generation: this.#generation.tokens(),
    };
  }
}
