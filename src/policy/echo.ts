/**
 * What followed when the routing last looked like now. Each earlier token of the window stands for a lag; a lag whose experts agreed with the present
 * ones over the last dozen visits tells which experts come next: those of the same token in the layers still to run, those of the token after it in
 * the others. Repeated words, names and code route alike, and popularity alone cannot see that.
 */
import type { PolicyShape } from './policy.ts';

/** Tokens that are remembered. */
const WINDOW = 256;
/** Of the agreement, what one more visit leaves: a memory of about ten layers. */
const KEEP = 0.9;
/** Lags that are heard, and how much more the better of two is: e^10 from no agreement to full. */
const HEARD = 8;
const SHARPNESS = 10;
/** Weight of the prior against all lags together. */
const PRIOR = 0.3;

export class Echo {
  readonly #layers: number;
  readonly #experts: number;
  /** [WINDOW, L, K] and [WINDOW, L]; allocated when the first token shows K. */
  #ids = new Uint16Array(0);
  readonly #counts: Uint8Array;
  #topK = 0;
  #token = -1;
  #layer = Infinity;
  /** By lag; survives from token to token, because neighbouring tokens have neighbouring echoes. */
  readonly #agreement = new Float64Array(WINDOW);
  readonly #isUsed: Uint8Array; // [E]
  /** Said by the heard lags for each (layer, expert), and which of them are not zero. */
  readonly #said: Float64Array;
  readonly #touched: number[] = [];
  #weight = 0;
  #isStale = true;

  constructor({ layers, experts }: PolicyShape) {
    this.#layers = layers;
    this.#experts = experts;
    this.#counts = new Uint8Array(WINDOW * layers);
    this.#isUsed = new Uint8Array(experts);
    this.#said = new Float64Array(layers * experts);
  }

  /** @param isToken whether the visit is of one token; those of prompts are forgotten, and tokens that skip a layer agree with none there */
  visit(layer: number, used: ArrayLike<number>, isToken: boolean): void {
    if (layer <= this.#layer) this.#startToken();
    this.#layer = layer;
    this.#isStale = true;
    if (!isToken || used.length === 0) return;
    if (this.#topK === 0) {
      this.#topK = Math.min(255, used.length);
      this.#ids = new Uint16Array(WINDOW * this.#layers * this.#topK);
    }
    const count = Math.min(this.#topK, used.length);
    const row = this.#row(0, layer);
    this.#counts[row] = count;
    for (let i = 0; i < count; i++) {
      this.#ids[row * this.#topK + i] = used[i]!;
      this.#isUsed[used[i]!] = 1;
    }
    for (let lag = 1; lag <= this.#reach; lag++) {
      const then = this.#row(lag, layer);
      let same = 0;
      for (let i = 0; i < this.#counts[then]!; i++) same += this.#isUsed[this.#ids[then * this.#topK + i]!]!;
      this.#agreement[lag] = KEEP * this.#agreement[lag]! + ((1 - KEEP) * same) / count;
    }
    for (let i = 0; i < count; i++) this.#isUsed[used[i]!] = 0;
  }

  /** Chance that the layer's next visit uses the expert, given the chance by popularity. */
  chance(layer: number, expert: number, prior: number): number {
    if (this.#isStale) this.#listen();
    const said = this.#said[layer * this.#experts + expert]!;
    return Math.min(1, (said + PRIOR * this.#weight * prior) / (this.#weight * (1 + PRIOR)));
  }

  /** False until a token has a token before it. */
  get isReady(): boolean {
    return this.#reach > 0 && this.#topK > 0;
  }

  get #reach(): number {
    return Math.min(this.#token, WINDOW - 1);
  }

  #row(lag: number, layer: number): number {
    return ((this.#token - lag) % WINDOW) * this.#layers + layer;
  }

  #startToken(): void {
    this.#token++;
    this.#counts.fill(0, this.#row(0, 0), this.#row(0, 0) + this.#layers);
  }

  #listen(): void {
    this.#isStale = false;
    for (const key of this.#touched) this.#said[key] = 0;
    this.#touched.length = 0;
    this.#weight = 0;
    for (const lag of this.#bestLags()) {
      const weight = Math.exp(SHARPNESS * this.#agreement[lag]!);
      this.#weight += weight;
      for (let layer = 0; layer < this.#layers; layer++) {
        const row = this.#row(layer > this.#layer ? lag : lag - 1, layer);
        for (let i = 0; i < this.#counts[row]!; i++) {
          const key = layer * this.#experts + this.#ids[row * this.#topK + i]!;
          if (this.#said[key] === 0) this.#touched.push(key);
          this.#said[key]! += weight;
        }
      }
    }
  }

  /** The HEARD lags with the most agreement, the shorter first among equals. */
  #bestLags(): number[] {
    const best: number[] = [];
    for (let lag = 1; lag <= this.#reach; lag++) {
      let place = best.length;
      while (place > 0 && this.#agreement[best[place - 1]!]! < this.#agreement[lag]!) place--;
      if (place < HEARD) best.splice(place, 0, lag);
      if (best.length > HEARD) best.pop();
    }
    return best;
  }
}
