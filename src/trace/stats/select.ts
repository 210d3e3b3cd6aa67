/** Which tokens of a trace are looked at, and how often they took each expert. */
import { InvalidRequest } from '../../errors.ts';
import { ABSENT, tokensOf, type Trace } from '../trace.ts';
import type { Draws } from './chance.ts';
import { probabilitiesAt } from './probabilities.ts';

/** Tokens of a trace that meet every condition given; none given: all. */
export interface Part {
  readonly phase?: 'prefill' | 'decode';
  readonly chat?: number;
  readonly chats?: readonly number[];
  /** Indices of tokens in the trace: `from` is in, `to` is not. */
  readonly from?: number;
  readonly to?: number;
}

export interface LayerShape {
  /** That this layer has; the first ones of E. */
  readonly experts: number;
  /** [K + 1]: how many tokens took k experts. */
  readonly taking: readonly number[];
}

/** How often each expert of each layer was taken. Numbers of experts are per layer: expert 3 of two layers has nothing in common. */
export interface LayerCounts {
  readonly layers: number;
  readonly experts: number;
  readonly topK: number;
  readonly tokens: number;
  /** [L, E] */
  readonly counts: Uint32Array;
  /** [L, E], sums of gate weights. */
  readonly weights: Float64Array | null;
  /** [L, E], mean probabilities; null without logits and their scoring. */
  readonly probs: Float64Array | null;
  /** [L]. Absent: every layer has E experts, and every token took K. */
  readonly shapes?: readonly LayerShape[];
}

/** Indices of the part's tokens, in the order of the trace. */
export function rowsOf({ steps }: Pick<Trace, 'steps'>, part: Part = {}): Uint32Array {
  const { from = 0, to = Infinity } = part;
  const chats = part.chats && new Set(part.chats);
  const rows = new Uint32Array(tokensOf(steps));
  let [n, row] = [0, 0];
  for (const step of steps) {
    const isIn =
      (part.phase === undefined || step.phase === part.phase) &&
      (part.chat === undefined || step.chat === part.chat) &&
      (!chats || chats.has(step.chat));
    const end = Math.min(row + step.tokens, to);
    if (isIn) for (let t = Math.max(row, from); t < end; t++) rows[n++] = t;
    row += step.tokens;
  }
  return rows.slice(0, n);
}

/** The chat of every token of the trace, [T]. */
export function chatsOf({ steps }: Pick<Trace, 'steps'>): Uint32Array {
  const chats = new Uint32Array(tokensOf(steps));
  let row = 0;
  for (const { chat, tokens } of steps) chats.fill(chat, row, (row += tokens));
  return chats;
}

/** Experts that a token took in a layer: `ids[at .. at + k]`. @returns k */
export function takenAt({ model: { topK }, ids }: Trace, at: number): number {
  let k = 0;
  while (k < topK && ids[at + k] !== ABSENT) k++;
  return k;
}

/** One pass over the ids of the part; one more over its logits, if there are any. */
export function countsOf(trace: Trace, part: Part = {}): LayerCounts {
  const { model, ids } = trace;
  const { layers, experts, topK } = model;
  const rows = rowsOf(trace, part);
  const counts = new Uint32Array(layers * experts);
  const weights = trace.weights && new Float64Array(layers * experts);
  const taking = new Uint32Array(layers * (topK + 1));
  for (const row of rows) {
    let at = row * layers * topK;
    for (let l = 0; l < layers; l++, at += topK) {
      let k = 0;
      for (; k < topK; k++) {
        const id = ids[at + k]!;
        if (id === ABSENT) break;
        counts[l * experts + id]!++;
        if (weights) weights[l * experts + id]! += trace.weights![at + k]!;
      }
      taking[l * (topK + 1) + k]!++;
    }
  }
  const shapes = Array.from({ length: layers }, (_, l) => ({
    experts: expertsOf(trace, rows, l),
    taking: [...taking.subarray(l * (topK + 1), (l + 1) * (topK + 1))],
  }));
  return { layers, experts, topK, tokens: rows.length, counts, weights, probs: meanProbabilities(trace, rows), shapes };
}

/** Logits are NaN for experts that a layer lacks; without logits every layer has E. */
function expertsOf({ model: { layers, experts }, logits }: Trace, rows: Uint32Array, layer: number): number {
  if (!logits) return experts;
  for (const row of rows) {
    const at = (row * layers + layer) * experts;
    let n = 0;
    while (n < experts && !Number.isNaN(logits[at + n]!)) n++;
    if (n > 0) return n;
  }
  return experts;
}

function meanProbabilities(trace: Trace, rows: Uint32Array): Float64Array | null {
  const { layers, experts } = trace.model;
  if (!trace.logits || !trace.scoring) return null;
  const sums = new Float64Array(layers * experts);
  const one = new Float64Array(experts);
  for (let l = 0; l < layers; l++) {
    let n = 0;
    for (const row of rows) {
      if (!probabilitiesAt(trace, row, l, one)) continue;
      n++;
      for (let e = 0; e < experts; e++) sums[l * experts + e]! += one[e]!;
    }
    for (let e = 0; n > 0 && e < experts; e++) sums[l * experts + e]! /= n;
  }
  return sums;
}

/**
 * Counts that somebody published, without the trace: `rows[layer][expert]`.
 * @throws InvalidRequest when rows differ in length or in tokens, or hold what is no count of tokens
 */
export function countsFrom(rows: readonly (readonly number[])[], topK: number): LayerCounts {
  const experts = rows[0]?.length ?? 0;
  const tokens = (rows[0] ?? []).reduce((a, b) => a + b, 0) / topK;
  const isCount = (n: number): boolean => Number.isInteger(n) && n >= 0 && n <= tokens;
  const fits = (row: readonly number[]): boolean =>
    row.length === experts && row.every(isCount) && row.reduce((a, b) => a + b, 0) === tokens * topK;
  if (experts < topK || !Number.isInteger(tokens) || !rows.every(fits))
    throw new InvalidRequest(
      `counts must be rows of one length and one sum: tokens of each of ${experts} experts, ${topK} experts a token`,
      { experts, topK, tokens },
    );
  const counts = Uint32Array.from(rows.flat());
  return { layers: rows.length, experts, topK, tokens, counts, weights: null, probs: null };
}

/**
 * The counts of one layer, only experts that it has, [its E], and the draws that made them.
 * @throws InvalidRequest for a layer that does not exist
 */
export function layerOf(from: LayerCounts, layer: number): { readonly counts: Uint32Array; readonly draws: Draws } {
  checkLayer(from, layer);
  const { experts, topK, tokens, shapes } = from;
  const draws = shapes?.[layer] ?? {
    experts,
    taking: Array.from({ length: topK + 1 }, (_, k) => (k === topK ? tokens : 0)),
  };
  return { counts: from.counts.subarray(layer * experts, layer * experts + draws.experts), draws };
}

/** @throws InvalidRequest for a layer that does not exist */
export function checkLayer({ layers }: { readonly layers: number }, layer: number): void {
  if (!Number.isInteger(layer) || layer < 0 || layer >= layers)
    throw new InvalidRequest(`layer ${layer} does not exist: there are ${layers} MoE layers, from 0`, {
      layer,
      layers,
    });
}
