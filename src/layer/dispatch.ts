/** Where each choice of each token went. */
import { choicesOf, pairsOf, type LayerShape } from '../config/moe-layer.ts';

/** In `positions`: the expert was full, the sampled second expert is not used, or an expert did not choose the token. */
export const DROPPED = -1;
/** In `positions`: a zero expert, which has no buffer. */
export const NOWHERE = -2;

const UNUSED = 0x80000000;

export interface DispatchWords {
  readonly chosen: Uint32Array; // [T, K]
  readonly kept: Uint32Array; // [T, K]
  readonly weights: Float32Array; // [T, K]
  readonly rowOfPair: Uint32Array; // [T, pairs]
  readonly counts: Uint32Array; // [ffns + 2]
}

/** The dispatch map of a run: (token, choice) -> (expert, position). With expert choice, choice k is expert k. */
export interface Dispatch {
  readonly tokens: number; // T
  readonly topK: number; // K
  /** [T, K]; from `num_experts` on a zero expert. */
  readonly experts: Uint32Array;
  /** [T, K]: place among the tokens that the expert takes, in the order of the batch; or DROPPED, or NOWHERE. */
  readonly positions: Int32Array;
  /** [T, K]; 0 where dropped. */
  readonly weights: Float32Array;
  /** Choices that came to nothing. */
  readonly dropped: number;
}

export class DispatchMap implements Dispatch {
  readonly tokens: number;
  readonly topK: number;
  readonly experts: Uint32Array;
  readonly positions: Int32Array;
  readonly weights: Float32Array;
  readonly #shape: LayerShape;

  constructor(words: DispatchWords, shape: LayerShape) {
    const { topK, experts } = shape;
    this.#shape = shape;
    this.topK = topK;
    this.tokens = words.chosen.length / topK;
    this.experts = words.chosen.map((word) => (word & ~UNUSED) >>> 0);
    this.weights = words.weights;
    const firstRow = new Uint32Array(words.counts.length);
    for (let e = 1; e < firstRow.length; e++) firstRow[e] = firstRow[e - 1]! + words.counts[e - 1]!;
    this.positions = Int32Array.from(this.experts, (id, pair) => {
      if (!words.kept[pair]) return DROPPED;
      if (id >= experts) return NOWHERE;
      const row = words.rowOfPair[Math.floor(pair / topK) * pairsOf(shape) + (pair % topK)]!;
      return row - firstRow[id]!;
    });
  }

  /** Tokens that each choice got, zero experts behind the others. */
  get counts(): Uint32Array {
    const counts = new Uint32Array(choicesOf(this.#shape));
    this.experts.forEach((id, pair) => (counts[id]! += Number(this.positions[pair] !== DROPPED)));
    return counts;
  }

  get dropped(): number {
    return this.positions.filter((p) => p === DROPPED).length;
  }

  /** How often each choice was made by the tokens [begin, end), dropped ones too; where experts choose, what they took. */
  demand(begin: number, end: number): Float64Array {
    const counts = new Float64Array(choicesOf(this.#shape));
    for (let pair = begin * this.topK; pair < end * this.topK; pair++)
      if (this.#isMade(pair)) counts[this.experts[pair]!]!++;
    return counts;
  }

  #isMade(pair: number): boolean {
    return this.#shape.chooses !== 'experts' || this.positions[pair] !== DROPPED;
  }

  /** Sums of the weights of each choice. */
  importance(): Float64Array {
    const sums = new Float64Array(choicesOf(this.#shape));
    this.experts.forEach((id, pair) => (sums[id]! += this.weights[pair]!));
    return sums;
  }

  /** Tokens with a choice on each device. */
  sentTo(devices: number): number[] {
    const sent = Array<number>(devices).fill(0);
    for (let t = 0; t < this.tokens; t++) {
      const seen = new Set<number>();
      for (let pair = t * this.topK; pair < (t + 1) * this.topK; pair++)
        if (this.#isMade(pair)) seen.add(Math.floor((this.experts[pair]! * devices) / choicesOf(this.#shape)));
      for (const device of seen) sent[device]!++;
    }
    return sent;
  }
}
