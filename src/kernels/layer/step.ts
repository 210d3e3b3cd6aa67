/** The uniform that changes from run to run: `struct Gate` in shaders/layer/gate.wgsl, field by field. */
import type { LayerStep } from '../../config/moe-layer.ts';

export const LAYER_STEP_BYTES = 32;

export function layerStepWords({ capacity, training, seed, step, sequence }: LayerStep): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(LAYER_STEP_BYTES / 4);
  words.set([Math.min(capacity, 0xffffffff), Number(training), seed >>> 0, step >>> 0, sequence]);
  return words;
}
