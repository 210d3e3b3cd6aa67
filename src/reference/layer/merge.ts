/** Twin of shaders/layer/merge.wgsl: the output of a token from all that it takes. */
import type { LayerShape } from '../../config/moe-layer.ts';
import { expertDown } from '../moe/expert_down.ts';
import { expertUp, type ExpertWeights } from '../moe/expert_up.ts';
import type { Gate } from './gate.ts';
import { mixOf, type Choice } from './place.ts';

/** One thing that a token takes: an expert, or itself where that is null. */
export interface Share {
  readonly ffn: number | null;
  readonly weight: number;
  /** Which of the token's choices; -1 for what every token takes. */
  readonly k: number;
}

/** Choices that give something, then shared experts, then the residual one. */
export function sharesOf(gate: Gate, choices: readonly Choice[], shape: LayerShape): Share[] {
  const { experts, zeroGives, sharedExperts, residual } = shape;
  const mix = mixOf(gate, shape);
  const routed = choices
    .filter(({ kept, id }) => kept && (id < experts || zeroGives === 'identity'))
    .map(({ id, k, weight }) => ({ ffn: id < experts ? id : null, weight: weight * mix[0], k }));
  const shared = Array.from({ length: sharedExperts }, (_, i) => ({ ffn: experts + i, weight: 1, k: -1 }));
  return [...routed, ...shared, ...(residual ? [{ ffn: experts + sharedExperts, weight: mix[1], k: -1 }] : [])];
}

/** What `share` gives for one token, [D]. */
export function given(share: Share, x: Float64Array, ffns: readonly ExpertWeights[], shape: LayerShape): Float64Array {
  if (share.ffn === null) return x;
  const rows = [{ row: 0, expert: ffns[share.ffn]! }];
  return expertDown(expertUp(x, rows, { kind: shape.activation }, shape), rows, shape);
}

/** x [T, D]; returns out [T, D] */
export function merge(
  x: ArrayLike<number>,
  gates: readonly Gate[],
  choices: readonly (readonly Choice[])[],
  ffns: readonly ExpertWeights[],
  shape: LayerShape,
): Float64Array {
  const { hidden } = shape;
  const out = new Float64Array(x.length);
  gates.forEach((gate, t) => {
    const token = Float64Array.from({ length: hidden }, (_, d) => x[t * hidden + d]!);
    for (const share of sharesOf(gate, choices[t]!, shape)) {
      given(share, token, ffns, shape).forEach((y, d) => (out[t * hidden + d]! += share.weight * y));
    }
  });
  return out;
}
