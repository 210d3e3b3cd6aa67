/**
 * What one dispatch costs a GPU, from what is compiled into it and how it is launched. Each kernel's rule lies beside its entry, in the `cost.ts` of
 * its folder; all of them count like this:
 *
 *   bytes   every value once, however many workgroups read it: what has to come from, or go to, memory when caches do what they can
 *   flops   two for each multiply-add of a matrix product, of attention, of a convolution or a recurrence; norms, rotations, activations and draws nothing
 *   issued  the same with what lanes do for nothing: rows of a tile that no token fills, columns up to a whole chunk, keys beyond the last
 *
 * An expert that no token chose costs nothing.
 */
import type { Launch } from '../gpu/recording.ts';
import { invariant } from '../util/assert.ts';

export interface Cost {
  /** Bytes of weights in their layout: values, scales, zero points, norms, biases. */
  readonly weightBytes: number;
  /** Bytes of keys and values, and of recurrent states, read and written. */
  readonly kvBytes: number;
  /** Bytes of all else, read and written: activations, ids, tables. */
  readonly activationBytes: number;
  readonly usefulFlops: number;
  readonly issuedFlops: number;
}

/** Where the tokens of a step go in one MoE layer. */
export interface ExpertTraffic {
  /** Experts that have a token at all. */
  readonly distinct: number;
  /** Rows of all experts: T K. */
  readonly pairs: number;
  /** Tiles of `rows` rows that hold the rows of all experts, each expert's beginning anew. */
  readonly tiles: (rows: number) => number;
}

/** @param traffic of the dispatch's layer; null outside MoE layers */
export type CostRule = (launch: ConstantsOf, traffic: ExpertTraffic | null) => Cost;

/** A launch whose constants are read by name; one that is not there is a mistake of ours. */
export class ConstantsOf {
  readonly launch: Launch;

  constructor(launch: Launch) {
    this.launch = launch;
  }

  get tokens(): number {
    return this.launch.step.tokens;
  }

  get position(): number {
    return this.launch.step.position;
  }

  number(name: string): number {
    const value = this.launch.constants[name];
    invariant(typeof value === 'number', `${this.launch.shader} has no number ${name}`);
    return value;
  }

  flag(name: string): boolean {
    const value = this.launch.constants[name];
    invariant(typeof value === 'boolean', `${this.launch.shader} has no flag ${name}`);
    return value;
  }

  /** Of a constant that only some variants have. */
  has(name: string): boolean {
    return this.launch.constants[name] !== undefined;
  }

  /** A flag that only some variants have. */
  isOn(name: string): boolean {
    return this.has(name) && this.flag(name);
  }
}

export const BYTES = 4;

/**
 * Bytes of one row of a matrix that is read through `weight_format`.
 * @param prefix of its constants, where a shader reads two
 */
export function weightRowBytes(c: ConstantsOf, prefix = ''): number {
  const words = (name: string): number => (c.has(prefix + name) ? c.number(prefix + name) : 0);
  const values = 16 * c.number(`${prefix}W_CHUNKS`) * c.number(`${prefix}W_CHUNK_VEC4`);
  return values + BYTES * (words('W_SCALE_ROW') + words('W_ZERO_ROW'));
}

/** Values that a pair of rows of a feed-forward's first matrix gives: two, where none of them is a gate or an adapter adds to them first. */
export const pairValues = (c: ConstantsOf): number => (c.isOn('ACT_UNGATED') || c.isOn('ACT_NONE') ? 2 : 1);

/** Of a dispatch that does both. */
export const added = (a: Cost, b: Cost): Cost => ({
  weightBytes: a.weightBytes + b.weightBytes,
  kvBytes: a.kvBytes + b.kvBytes,
  activationBytes: a.activationBytes + b.activationBytes,
  usefulFlops: a.usefulFlops + b.usefulFlops,
  issuedFlops: a.issuedFlops + b.issuedFlops,
});

/** Of a kernel that multiplies nothing. */
export const moves = (bytes: Partial<Pick<Cost, 'weightBytes' | 'kvBytes' | 'activationBytes'>>): Cost => ({
  weightBytes: 0,
  kvBytes: 0,
  activationBytes: 0,
  usefulFlops: 0,
  issuedFlops: 0,
  ...bytes,
});
