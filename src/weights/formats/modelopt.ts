/**
 * NVIDIA ModelOpt. NVFP4: `weight` u8 [N, K/2], low nibble first, `weight_scale` e4m3 [N, K/16], `weight_scale_2` f32, a factor for all.
 * FP8: `weight` e4m3 [N, K] and `weight_scale`, one for the tensor. A module's tensors say which it is.
 */
import { ConfigReader, type Json } from '../../config/read.ts';
import { InvalidCheckpoint } from '../../errors.ts';
import { passOver } from './beside.ts';
import { cached } from './config-cache.ts';
import type { WeightFormat } from './format.ts';
import { nvfp4Matrix } from './fp4-matrix.ts';
import { ModuleList } from './module-list.ts';
import { plainExpert, plainMatrix } from './plain.ts';
import { scaledFp8, WHOLE } from './scaled-fp8.ts';

const ALGORITHMS = ['NVFP4', 'W4A16_NVFP4', 'FP8', 'MIXED_PRECISION'];

/** @throws UnsupportedModel, InvalidCheckpoint */
const config = cached((quantization: Json): ModuleList => {
  const c = new ConfigReader(quantization, 'config.json: quantization_config');
  c.only('quant_algo', ...ALGORITHMS);
  c.only('group_size', 16);
  // Activations and the cache are not rounded here; the groups repeat what the tensors say; a module's tensors say how it is quantised.
  c.irrelevant('quant_method', 'producer', 'kv_cache_scheme', 'kv_cache_quant_algo', 'quantized_layers');
  c.irrelevant('config_groups', 'weights', 'input_activations', 'quant_type');
  const kept = new ModuleList(c, 'ignore', 'exclude_modules');
  c.finish();
  return kept;
});

export const modelopt: WeightFormat = {
  method: 'modelopt',
  check: (quantization) => void config(quantization),
  matrix(checkpoint, quantization, name, shape) {
    const kept = config(quantization);
    passOver(checkpoint, name);
    if (!checkpoint.has(`${name}.weight_scale`)) return plainMatrix(checkpoint, name, shape);
    kept.refuse(name);
    const weight = checkpoint.tensor(`${name}.weight`);
    const scale = checkpoint.tensor(`${name}.weight_scale`);
    if (weight.dtype === 'U8') {
      const info = checkpoint.tensor(`${name}.weight_scale_2`);
      const global = { info, suffix: '.weight_scale_2', isDivisor: false };
      return nvfp4Matrix(checkpoint, { name, shape, values: weight, scales: scale, global, format: 'modelopt nvfp4' });
    }
    if (weight.dtype === 'F8_E4M3')
      return scaledFp8(checkpoint, { name, shape, weight, scale, block: WHOLE, format: 'modelopt fp8 per tensor' });
    throw new InvalidCheckpoint(
      'unsupported-dtype',
      `${weight.name} has type ${weight.dtype}; it must be U8 or F8_E4M3`,
      {
        tensor: weight.name,
        dtype: weight.dtype,
      },
    );
  },
  expert: (checkpoint, _, name, slice) => plainExpert(checkpoint, name, slice),
};
