/** A map of all experts: those that like the same texts lie near each other. Its axes mean nothing. */
import type { Trace } from '../trace.ts';
import { labelTable } from './information.ts';
import { takenIn } from './taken.ts';
import { chatsOf, type Part } from './select.ts';

export interface Atlas {
  /** [L, E], NaN for experts that nothing took. */
  readonly x: Float64Array;
  readonly y: Float64Array;
  /** Share of the fingerprints' variance that the two axes keep. */
  readonly explained: readonly [number, number];
  /** Groups of tokens that made the fingerprints. */
  readonly groups: number;
}

/** Added to each count of a fingerprint. */
const PSEUDOCOUNT = 0.5;

/**
 * Fingerprint of an expert: log2 of its share in each group of tokens over its share in all. The map is their principal components
 * (Hotelling 1933; the same as classical scaling of Euclidean distances), by power iteration from a fixed start.
 * @param groupOf of each token of the trace, from 0, negative: left out; default: its chat
 */
export function atlasOf(trace: Trace, part?: Part, groupOf?: ArrayLike<number>): Atlas {
  const { layers, experts } = trace.model;
  const of = groupOf ?? chatsOf(trace);
  const prints: (Float64Array | null)[] = [];
  let groups = 0;
  for (let l = 0; l < layers; l++) {
    const taken = takenIn(trace, l, part);
    if (l === 0) groups = taken.rows.reduce((n, row) => Math.max(n, of[row]! + 1), 0);
    // Tokens that belong to no group go to one more, which is left out.
    const labels = Float64Array.from(taken.rows, (row) => (of[row]! < 0 ? groups : of[row]!));
    const table = labelTable(taken, labels, groups + 1);
    for (let e = 0; e < experts; e++) prints.push(fingerprint(table, e, experts, groups));
  }
  return { ...layout(prints, groups), groups };
}

function fingerprint(table: Float64Array, expert: number, experts: number, groups: number): Float64Array | null {
  let [own, all] = [0, 0];
  const ofGroup = new Float64Array(groups);
  for (let g = 0; g < groups; g++) {
    for (let e = 0; e < experts; e++) ofGroup[g]! += table[g * experts + e]!;
    own += table[g * experts + expert]!;
    all += ofGroup[g]!;
  }
  if (own === 0) return null;
  return ofGroup.map((n, g) =>
    Math.log2(((table[g * experts + expert]! + PSEUDOCOUNT) / (n + PSEUDOCOUNT * experts)) * (all / own)),
  );
}

function layout(prints: readonly (Float64Array | null)[], width: number): Omit<Atlas, 'groups'> {
  const seen = prints.filter((p) => p !== null);
  const mean = Float64Array.from({ length: width }, (_, g) => seen.reduce((s, p) => s + p[g]!, 0) / seen.length);
  const covariance = Array.from({ length: width }, (_, a) =>
    Float64Array.from({ length: width }, (_x, b) =>
      seen.reduce((s, p) => s + (p[a]! - mean[a]!) * (p[b]! - mean[b]!), 0),
    ),
  );
  const trace = covariance.reduce((s, row, i) => s + row[i]!, 0);
  const [first, second] = [leading(covariance), leading(covariance)];
  const place = (axis: Float64Array): Float64Array =>
    Float64Array.from(prints, (p) => (p ? axis.reduce((s, a, g) => s + a * (p[g]! - mean[g]!), 0) : NaN));
  const share = (value: number): number => (trace > 0 ? value / trace : 0);
  return { x: place(first.axis), y: place(second.axis), explained: [share(first.value), share(second.value)] };
}

/** Axes that are nearly alike take long to tell apart; after that many rounds either will do. */
const ROUNDS = 5000;

/** The leading eigenvector of a symmetric matrix, which is left without it. Its largest part is positive. */
function leading(matrix: Float64Array[]): { readonly axis: Float64Array; readonly value: number } {
  const width = matrix.length;
  let axis = Float64Array.from({ length: width }, (_, i) => 1 + i / width);
  let value = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const next = Float64Array.from(matrix, (row) => row.reduce((s, m, j) => s + m * axis[j]!, 0));
    const length = Math.sqrt(next.reduce((s, v) => s + v * v, 0));
    if (!(length > 1e-12)) return { axis: new Float64Array(width), value: 0 };
    for (let i = 0; i < width; i++) next[i]! /= length;
    const moved = next.reduce((most, v, i) => Math.max(most, Math.abs(v - axis[i]!)), 0);
    axis = next;
    value = length;
    if (moved < 1e-13) break;
  }
  const largest = axis.reduce((a, b) => (Math.abs(b) > Math.abs(a) + 1e-9 ? b : a), 0);
  if (largest < 0) axis = axis.map((v) => -v);
  matrix.forEach((row, i) => row.forEach((_, j) => (row[j]! -= value * axis[i]! * axis[j]!)));
  return { axis, value };
}
