/** The buffers of one standalone layer. */
import { choicesOf, ffnsOf, pairsOf, routerRows, type LayerShape } from '../../config/moe-layer.ts';
import type { BufferView } from '../../gpu/buffer.ts';
import type { SlotLayout } from '../moe/slot.ts';

export interface LayerViews {
  readonly gate: BufferView; // layerStepWords, a uniform
  readonly x: BufferView; // [T, D]
  readonly tokenIds: BufferView; // [T], for hash routing
  readonly router: BufferView; // [M, D]
  readonly bias: BufferView; // [G] added to the keys
  readonly arena: BufferView; // experts in slots, f32
  readonly routerX: BufferView; // [T, D]; x itself without jitter
  readonly logits: BufferView; // [T, M]
  readonly gates: BufferView; // [T, planes, G]
  readonly facts: BufferView; // [T, 3]
  readonly keys: BufferView; // [T, G]
  readonly chosen: BufferView; // [T, K]
  readonly priority: BufferView; // [T, K]
  readonly kept: BufferView; // [T, K]
  readonly weights: BufferView; // [T, K]
  readonly routed: BufferView; // [T, 2 pairs]
  readonly rowOfPair: BufferView; // [P]
  readonly pairOfRow: BufferView; // [P]
  readonly counts: BufferView; // [ffns + 2]
  readonly act: BufferView; // [P, F]
  readonly y: BufferView; // [P, D]
  readonly out: BufferView; // [T, D]
  readonly sums: BufferView; // [sequences, (planes - 2) G]
}

/** Those of the backward pass. */
export interface GradViews {
  readonly dout: BufferView; // [T, D]
  readonly lossGrads: BufferView; // see shaders/layer/router_grad
  readonly dots: BufferView; // [T, pairs]
  readonly dpre: BufferView; // [P, 2F]
  readonly dlogits: BufferView; // [T, M]
  readonly dx: BufferView; // [T, D]
  readonly drouter: BufferView; // [M, D]
  readonly dexperts: BufferView; // as the arena
}

/** Numbers that several kernels are compiled for. */
export interface LayerSizes {
  readonly G: number;
  readonly M: number;
  readonly X: number;
  readonly ALL: number;
  readonly PLANES: number;
}

export const sizesOf = (shape: LayerShape): LayerSizes => ({
  G: choicesOf(shape),
  M: routerRows(shape),
  X: ffnsOf(shape),
  ALL: pairsOf(shape),
  PLANES: shape.noise === 'noisy-top-k' ? 4 : 3,
});

export const scoreFlags = ({ score }: LayerShape): Record<string, boolean> => ({
  SOFTMAX: score === 'softmax',
  SIGMOID: score === 'sigmoid',
  SQRT_SOFTPLUS: score === 'sqrt-softplus',
});

/** Words from an expert to the next, and where its matrices and their rows are. */
export const slotConstants = (slot: SlotLayout): Record<string, number> => ({
  EXPERT_WORDS: slot.bytes / 4,
  GATE_UP_AT: slot.gateUpAt / 4,
  GATE_UP_ROW: rowWords(slot.hidden),
});

/** Rows of an f32 matrix begin on whole chunks of 32. */
export const rowWords = (columns: number): number => Math.ceil(columns / 32) * 32;
