/** Twin of shaders/layer/place.wgsl and weigh.wgsl. */
import type { LayerShape, LayerStep } from '../../config/moe-layer.ts';
import { sigmoid, total, type Gate } from './gate.ts';

/** One choice of a token. */
export interface Choice {
  readonly token: number;
  readonly k: number;
  readonly id: number;
  /** In the capacity buffer of its expert: how many of it come before. */
  readonly rank: number;
  readonly kept: boolean;
  /** 0 where dropped. */
  readonly weight: number;
}

/** Choices of all tokens, [T][K]. */
export function place(gates: readonly Gate[], shape: LayerShape, step: LayerStep): Choice[][] {
  const ranks = gates.map(({ chosen }) => chosen.map(() => 0));
  for (let e = 0; e < shape.experts; e++) {
    const takers = gates.flatMap(({ chosen, priority }, token) =>
      chosen.flatMap((id, k) => (id === e ? [{ token, k, priority: priority[k]! }] : [])),
    );
    takers.sort((a, b) => b.priority - a.priority || orderOf(a, shape) - orderOf(b, shape));
    takers.forEach(({ token, k }, rank) => (ranks[token]![k] = rank));
  }
  return gates.map((gate, token) => {
    const kept = gate.chosen.map(
      (id, k) => (id >= shape.experts || ranks[token]![k]! < step.capacity) && !gate.unused[k],
    );
    const weights = weigh(gate, kept, shape);
    return gate.chosen.map((id, k) => ({
      token,
      k,
      id,
      rank: ranks[token]![k]!,
      kept: kept[k]!,
      weight: weights[k]!,
    }));
  });
}

const LARGE = 2 ** 32;

const orderOf = ({ token, k }: { token: number; k: number }, { fill }: LayerShape): number =>
  fill === 'token-order' ? token * LARGE + k : k * LARGE + token;

/** The smallest sum that weights are divided by: the epsilon of f32. */
export const LEAST_SUM = 2 ** -23;

/** Scores of a token's choices before they are divided. */
export const rawWeights = ({ scores, chosen }: Gate, { uniformWeights }: LayerShape): number[] =>
  chosen.map((id) => (uniformWeights ? 1 / chosen.length : scores[id]!));

function weigh(gate: Gate, kept: readonly boolean[], shape: LayerShape): number[] {
  const raw = rawWeights(gate, shape);
  const counted = shape.normalize === 'after-drop' ? raw.filter((_, k) => kept[k]) : raw;
  const sum = shape.normalize === 'none' ? 1 : Math.max(total(counted), LEAST_SUM);
  return raw.map((r, k) => (kept[k] ? (shape.scale * r) / sum : 0));
}

/** PR-MoE's two coefficients: of the routed experts, and of the residual one. */
export function mixOf({ logits }: Gate, { residual }: LayerShape): readonly [number, number] {
  if (!residual) return [1, 1];
  const p = sigmoid(logits.at(-2)! - logits.at(-1)!);
  return [p, 1 - p];
}
