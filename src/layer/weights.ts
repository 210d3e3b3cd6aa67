/** A layer's weights as arrays of their published shapes, and as the GPU holds them. */
import { choicesOf, ffnsOf, type LayerShape } from '../config/moe-layer.ts';
import { InvalidRequest } from '../errors.ts';
import { rowWords } from '../kernels/layer/views.ts';
import type { SlotLayout } from '../moe/slots.ts';
import { prng } from '../util/prng.ts';

/** X experts: routed ones, then shared ones, then the residual one. G choices: experts, then zero experts. */
export interface MoELayerWeights {
  readonly router: Float32Array<ArrayBuffer>; // [G, D]
  /** Of NoisyTopK; else empty. */
  readonly noise: Float32Array<ArrayBuffer>; // [G, D]
  /** Of use_residual; else empty. Rows: the routed experts', the residual one's. */
  readonly coefficient: Float32Array<ArrayBuffer>; // [2, D]
  readonly gate_proj: Float32Array<ArrayBuffer>; // [X, F, D]
  readonly up_proj: Float32Array<ArrayBuffer>; // [X, F, D]
  readonly down_proj: Float32Array<ArrayBuffer>; // [X, D, F]
}

type Lengths = Readonly<Record<keyof MoELayerWeights, number>>;

export function weightLengths(shape: LayerShape): Lengths {
  const { hidden, width, noise, residual } = shape;
  const router = choicesOf(shape) * hidden;
  const matrix = ffnsOf(shape) * width * hidden;
  return {
    router,
    noise: noise === 'noisy-top-k' ? router : 0,
    coefficient: residual ? 2 * hidden : 0,
    gate_proj: matrix,
    up_proj: matrix,
    down_proj: matrix,
  };
}

/** @throws InvalidRequest when an array is not as long as its shape, or unknown */
export function checkWeights(weights: Partial<MoELayerWeights>, shape: LayerShape): void {
  const lengths = weightLengths(shape);
  for (const [name, values] of Object.entries(weights)) {
    const wanted = lengths[name as keyof Lengths];
    if (wanted === undefined)
      throw new InvalidRequest(`MoE layer: no weight ${name}; there are ${Object.keys(lengths).join(', ')}`, { name });
    if (values.length !== wanted)
      throw new InvalidRequest(`MoE layer: ${name} has ${values.length} values in place of ${wanted}`, {
        name,
        length: values.length,
        wanted,
      });
  }
}

/** Uniform in ± 1 / sqrt(inputs), from the seed; noise starts at 0. */
export function firstWeights(shape: LayerShape, seed: number): MoELayerWeights {
  const random = prng(seed);
  const { hidden, width } = shape;
  const lengths = weightLengths(shape);
  const draw = (length: number, inputs: number): Float32Array<ArrayBuffer> =>
    Float32Array.from({ length }, () => (2 * random() - 1) / Math.sqrt(inputs));
  return {
    router: draw(lengths.router, hidden),
    noise: new Float32Array(lengths.noise),
    coefficient: draw(lengths.coefficient, hidden),
    gate_proj: draw(lengths.gate_proj, hidden),
    up_proj: draw(lengths.up_proj, hidden),
    down_proj: draw(lengths.down_proj, width),
  };
}

/** The router's rows as the GPU holds them, and back. */
export const ROUTER_PARTS = ['router', 'noise', 'coefficient'] as const;

export function splitRouter(
  words: Float32Array<ArrayBuffer>,
  shape: LayerShape,
): Pick<MoELayerWeights, (typeof ROUTER_PARTS)[number]> {
  const lengths = weightLengths(shape);
  const afterNoise = lengths.router + lengths.noise;
  return {
    router: words.slice(0, lengths.router),
    noise: words.slice(lengths.router, afterNoise),
    coefficient: words.slice(afterNoise, afterNoise + lengths.coefficient),
  };
}

type Experts = Pick<MoELayerWeights, 'gate_proj' | 'up_proj' | 'down_proj'>;

/** Calls `at` with each weight's matrix, its place there, and its place in the arena. */
function eachWeight(
  shape: LayerShape,
  slot: SlotLayout,
  at: (name: keyof Experts, index: number, word: number) => void,
): void {
  const { hidden, width } = shape;
  for (let e = 0; e < ffnsOf(shape); e++) {
    const gateUp = (e * slot.bytes + slot.gateUpAt) / 4;
    const down = (e * slot.bytes + slot.downAt) / 4;
    for (let f = 0; f < width; f++) {
      for (let d = 0; d < hidden; d++) {
        const index = (e * width + f) * hidden + d;
        at('gate_proj', index, gateUp + 2 * f * rowWords(hidden) + d);
        at('up_proj', index, gateUp + (2 * f + 1) * rowWords(hidden) + d);
        at('down_proj', (e * hidden + d) * width + f, down + d * rowWords(width) + f);
      }
    }
  }
}

/** Overwrites the given matrices in an arena's words. */
export function packExperts(words: Float32Array, experts: Partial<Experts>, shape: LayerShape, slot: SlotLayout): void {
  eachWeight(shape, slot, (name, index, word) => {
    const matrix = experts[name];
    if (matrix) words[word] = matrix[index]!;
  });
}

export function unpackExperts(words: Float32Array, shape: LayerShape, slot: SlotLayout): Experts {
  const lengths = weightLengths(shape);
  const experts: Experts = {
    gate_proj: new Float32Array(lengths.gate_proj),
    up_proj: new Float32Array(lengths.up_proj),
    down_proj: new Float32Array(lengths.down_proj),
  };
  eachWeight(shape, slot, (name, index, word) => (experts[name][index] = words[word]!));
  return experts;
}
