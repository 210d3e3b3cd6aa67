/**
 * `quant_method: "fp8"`: DeepSeek-V3, Qwen, MiniMax and others. `weight` F8 [N, K] and either `weight_scale_inv` [N/128, K/128] (a factor, in spite
 * of its name) or `weight_scale`, one for the tensor.
 */
import { ConfigReader, type Json } from '../../config/read.ts';
import { InvalidCheckpoint } from '../../errors.ts';
import { passOver } from './beside.ts';
import { cached } from './config-cache.ts';
import type { WeightFormat } from './format.ts';
import { ModuleList } from './module-list.ts';
import { plainExpert, plainMatrix } from './plain.ts';
import { scaledFp8, WHOLE, type ScaleBlock } from './scaled-fp8.ts';

interface Fp8Config {
  readonly block: ScaleBlock;
  readonly kept: ModuleList;
}

const isSize = (item: Json): item is number => typeof item === 'number' && Number.isInteger(item) && item > 0;

/** @throws UnsupportedModel, InvalidCheckpoint */
const config = cached((quantization: Json): Fp8Config => {
  const c = new ConfigReader(quantization, 'config.json: quantization_config');
  c.only('fmt', 'e4m3', 'float8_e4m3fn', 'e5m2'); // the tensors have their type
  // How activations are rounded, which they are not here; and how the scales were chosen.
  c.irrelevant('quant_method', 'activation_scheme', 'scale_fmt', 'is_checkpoint_fp8_serialized', 'kv_cache_scheme');
  c.only('dequantize', false);
  const sizes = c.list<number>('weight_block_size', isSize, 'two sizes', []);
  if (sizes.length !== 0 && sizes.length !== 2) c.fail('weight_block_size', 'two sizes');
  const kept = new ModuleList(c, 'modules_to_not_convert', 'ignored_layers');
  c.finish();
  return { block: sizes.length ? { rows: sizes[0]!, cols: sizes[1]! } : WHOLE, kept };
});

export const fp8: WeightFormat = {
  method: 'fp8',
  check: (quantization) => void config(quantization),
  matrix(checkpoint, quantization, name, shape) {
    const { block, kept } = config(quantization);
    passOver(checkpoint, name);
    const found = ['weight_scale_inv', 'weight_scale'].find((s) => checkpoint.has(`${name}.${s}`));
    if (found === undefined) {
      const plain = plainMatrix(checkpoint, name, shape);
      if (!plain?.format.startsWith('f8_')) return plain;
      throw new InvalidCheckpoint('missing-tensor', `${name} is FP8 without a weight_scale_inv or weight_scale`, {
        tensor: `${name}.weight_scale_inv`,
      });
    }
    kept.refuse(name);
    const size = block === WHOLE ? 'per tensor' : `${block.rows}x${block.cols}`;
    return scaledFp8(checkpoint, {
      name,
      shape,
      weight: checkpoint.tensor(`${name}.weight`),
      scale: checkpoint.tensor(`${name}.${found}`),
      block,
      format: `fp8 ${size}`,
    });
  },
  expert: (checkpoint, _, name, slice) => plainExpert(checkpoint, name, slice),
};
