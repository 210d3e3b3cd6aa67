/** Tensors beside a weight that are about activations or the cache of keys and values: here neither is rounded, so they are not needed. */
import type { Checkpoint } from '../checkpoint.ts';

const OF_MODULE = [
  'input_scale',
  'act_scale',
  'input_zero_point',
  'input_global_scale',
  'output_scale',
  'k_scale',
  'v_scale',
];
const OF_PARENT = ['k_scale', 'v_scale', 'kv_scale', 'q_scale', 'prob_scale'];

/** Marks them as found, so that they are no reason to refuse the checkpoint. */
export function passOver(checkpoint: Checkpoint, module: string): void {
  for (const suffix of OF_MODULE) checkpoint.has(`${module}.${suffix}`);
  const parent = module.slice(0, module.lastIndexOf('.'));
  for (const suffix of OF_PARENT) checkpoint.has(`${parent}.${suffix}`);
}
