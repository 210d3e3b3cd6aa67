/** A trace as a cache sees it: one visit a step and layer, each expert once. */
import { ABSENT, type Trace, type TraceModel } from './trace.ts';

export interface Visits {
  readonly model: TraceModel;
  /** Of each visit. */
  readonly layer: Uint16Array;
  readonly isDecode: Uint8Array;
  readonly step: Uint32Array;
  /** Where a visit's experts start; one entry more than visits. */
  readonly start: Uint32Array;
  /** Distinct within a visit, in the order of their last mention by token and rank: what was touched last comes last. */
  readonly experts: Uint16Array;
  /** Each expert's share of its tokens' router weight, summed over the step's tokens; all equal when the trace has no weights. */
  readonly weights: Float32Array;
  readonly decodeTokens: number;
}

export function visitsOf({ model, steps, ids, weights }: Trace): Visits {
  const { layers, experts: count, topK } = model;
  const layer: number[] = [];
  const isDecode: number[] = [];
  const step: number[] = [];
  const start: number[] = [0];
  const experts: number[] = [];
  const shares: number[] = [];
  const share = new Float64Array(count);
  let from = 0;
  steps.forEach(({ tokens, phase }, s) => {
    for (let l = 0; l < layers; l++) {
      const mentions: number[] = [];
      for (let t = from; t < from + tokens; t++) {
        const row = (t * layers + l) * topK;
        let total = 0;
        let k = 0;
        for (; k < topK && ids[row + k] !== ABSENT; k++) total += weights ? weights[row + k]! : 1;
        for (let i = 0; i < k; i++) {
          const id = ids[row + i]!;
          share[id]! += total > 0 ? (weights ? weights[row + i]! : 1) / total : 1 / k;
          mentions.push(id);
        }
      }
      if (mentions.length === 0) continue;
      const distinct = [...new Set(mentions.reverse())].reverse();
      for (const id of distinct) {
        experts.push(id);
        shares.push(share[id]!);
        share[id] = 0;
      }
      layer.push(l);
      isDecode.push(phase === 'decode' ? 1 : 0);
      step.push(s);
      start.push(experts.length);
    }
    from += tokens;
  });
  return {
    model,
    layer: Uint16Array.from(layer),
    isDecode: Uint8Array.from(isDecode),
    step: Uint32Array.from(step),
    start: Uint32Array.from(start),
    experts: Uint16Array.from(experts),
    weights: Float32Array.from(shares),
    decodeTokens: steps.reduce((n, s) => n + (s.phase === 'decode' ? s.tokens : 0), 0),
  };
}

/** Share of the visits of each layer that used the expert, [L, E]: of a finished session, to start the next one from. */
export function popularityOf({ model, layer, start, experts }: Visits): Float64Array {
  const uses = new Float64Array(model.layers * model.experts);
  const visits = new Float64Array(model.layers);
  for (let v = 0; v < layer.length; v++) {
    const from = layer[v]! * model.experts;
    visits[layer[v]!]!++;
    for (let i = start[v]!; i < start[v + 1]!; i++) uses[from + experts[i]!]!++;
  }
  return uses.map((n, key) => n / Math.max(1, visits[Math.floor(key / model.experts)]!));
}
