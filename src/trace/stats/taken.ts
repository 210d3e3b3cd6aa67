/** What the tokens of a part took in one layer, side by side. */
import type { Trace } from '../trace.ts';
import type { Draws } from './chance.ts';
import { checkLayer, rowsOf, takenAt, type Part } from './select.ts';

export interface Taken {
  /** Indices of tokens in the trace, [n]. */
  readonly rows: Uint32Array;
  readonly experts: number;
  /** In rank order, token after token. */
  readonly ids: Uint16Array;
  /** Gate weights beside them. */
  readonly weights: Float32Array | null;
  /** Where a token's experts start, [n + 1]. */
  readonly start: Uint32Array;
  readonly draws: Draws;
}

/** @throws InvalidRequest for a layer that does not exist */
export function takenIn(trace: Trace, layer: number, part?: Part): Taken {
  const { layers, experts, topK } = trace.model;
  checkLayer(trace.model, layer);
  const rows = rowsOf(trace, part);
  const ids = new Uint16Array(rows.length * topK);
  const weights = trace.weights && new Float32Array(ids.length);
  const start = new Uint32Array(rows.length + 1);
  const taking = Array<number>(topK + 1).fill(0);
  let n = 0;
  rows.forEach((row, r) => {
    const at = (row * layers + layer) * topK;
    const k = takenAt(trace, at);
    for (let i = 0; i < k; i++, n++) {
      ids[n] = trace.ids[at + i]!;
      if (weights) weights[n] = trace.weights![at + i]!;
    }
    taking[k]!++;
    start[r + 1] = n;
  });
  return { rows, experts, ids: ids.subarray(0, n), weights, start, draws: { experts, taking } };
}
