/** What an adapter adds to the chosen experts of one layer: dispatches between those that run without it. */
import type { Activation } from '../config/model-config.ts';
import type { BufferView } from '../gpu/buffer.ts';
import type { Recorder } from '../gpu/recording.ts';
import { lowRankAct, lowRankDown, lowRankSum } from '../kernels/moe/low_rank.ts';
import { gateUpShape } from '../kernels/moe/slot.ts';
import type { DeviceExperts } from './experts.ts';

interface Step {
  readonly label: string;
  readonly topK: number; // K
  readonly activation: Activation;
  readonly input: BufferView; // [T, D]
  readonly routed: BufferView; // [T, 2K]
  readonly act: BufferView; // [P, F]
  /** The order of `act`; without it pair order. */
  readonly rowOfPair?: BufferView; // [P]
  readonly scale: number;
  readonly unweighted: boolean;
}

export class ExpertAdapter {
  readonly #r: Recorder;
  readonly #experts: DeviceExperts;
  readonly #step: Step;

  constructor(r: Recorder, experts: DeviceExperts, step: Step) {
    this.#r = r;
    this.#experts = experts;
    this.#step = step;
  }

  get #gateUp(): NonNullable<DeviceExperts['lowRank']>['gateUp'] {
    return this.#experts.lowRank?.gateUp ?? null;
  }

  /** Where the product of gate and up goes: where something is added to it, it is left as it is. */
  get products(): { readonly act: BufferView; readonly raw: boolean } {
    const raw = this.#gateUp !== null;
    return { act: raw ? this.#experts.lowRank!.scratch.pairs : this.#step.act, raw };
  }

  /** A x of gate and up. */
  lower(): void {
    const maps = this.#gateUp;
    const { label, input: x, topK } = this.#step;
    if (!maps) return;
    const shape = { topK, rank: 2 * maps.rank, cols: this.#experts.slot.hidden, byToken: true };
    lowRankDown(this.#r, `${label} adapter gate up A`, { ...this.#io(maps.a), x }, shape);
  }

  /** The products and B A x, activated. */
  activate(): void {
    const maps = this.#gateUp;
    const { label, topK, activation, rowOfPair, act } = this.#step;
    if (!maps) return;
    const shape = { topK, rank: maps.rank, width: gateUpShape(this.#experts.slot).rows / 2, activation };
    const io = { ...this.#io(maps.b), pairs: this.products.act, act, row_of_pair: rowOfPair };
    lowRankAct(this.#r, `${label} adapter gate up B`, io, shape);
  }

  /** @returns what the experts' sum is added to: B A act of down, and the residual */
  joined(residual: BufferView | undefined): BufferView | undefined {
    const { lowRank, slot } = this.#experts;
    const { label, topK, act: x, rowOfPair, scale, unweighted } = this.#step;
    const maps = lowRank?.down;
    if (!maps) return residual;
    const { rank } = maps;
    const out = lowRank.scratch.sum;
    const rows = { topK, rank, cols: slot.width, byToken: false };
    lowRankDown(this.#r, `${label} adapter down A`, { ...this.#io(maps.a), x, row_of_pair: rowOfPair }, rows);
    const sum = { topK, rank, hidden: slot.hidden, scale, unweighted };
    lowRankSum(this.#r, `${label} adapter down B`, { ...this.#io(maps.b), residual, out }, sum);
    return out;
  }

  #io(maps: BufferView): { maps: BufferView; places: BufferView; routed: BufferView; hidden: BufferView } {
    const { places, scratch } = this.#experts.lowRank!;
    return { maps, places, routed: this.#step.routed, hidden: scratch.hidden };
  }
}
