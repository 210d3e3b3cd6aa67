/**
 * compressed-tensors: modules by groups of targets, each with a scheme. What a scheme's tensors look like: compressed-ints.ts, scaled-fp8.ts,
 * fp4-matrix.ts.
 */
import type { Json } from '../../config/read.ts';
import type { Checkpoint } from '../checkpoint.ts';
import type { MatrixShape } from '../layout.ts';
import type { PublishedMatrix } from '../matrix.ts';
import { passOver } from './beside.ts';
import { compressedConfig } from './compressed-config.ts';
import { compressedInts } from './compressed-ints.ts';
import type { WeightFormat } from './format.ts';
import { mxfp4Matrix, nvfp4Matrix } from './fp4-matrix.ts';
import { plainExpert, plainMatrix } from './plain.ts';
import { scaledFp8 } from './scaled-fp8.ts';

function compressed(
  checkpoint: Checkpoint,
  quantization: Json,
  name: string,
  shape: MatrixShape,
): PublishedMatrix | null {
  if (!['weight_packed', 'weight_scale'].some((suffix) => checkpoint.has(`${name}.${suffix}`))) return null;
  const scheme = compressedConfig(quantization).schemeOf(name);
  passOver(checkpoint, name);
  const tensor = (suffix: string): ReturnType<Checkpoint['tensor']> => checkpoint.tensor(`${name}.${suffix}`);
  switch (scheme.kind) {
    case 'packed':
    case 'bytes':
      return compressedInts(checkpoint, name, shape, scheme);
    case 'fp8':
      checkpoint.has(`${name}.weight_zero_point`); // zeros, as FP8 is symmetric
      return scaledFp8(checkpoint, {
        name,
        shape,
        weight: tensor('weight'),
        scale: tensor('weight_scale'),
        block: scheme.block,
        format: `compressed-tensors fp8 per ${scheme.strategy}`,
      });
    case 'nvfp4':
      return nvfp4Matrix(checkpoint, {
        name,
        shape,
        values: tensor('weight_packed'),
        scales: tensor('weight_scale'),
        global: { info: tensor('weight_global_scale'), suffix: '.weight_global_scale', isDivisor: true },
        format: 'compressed-tensors nvfp4',
      });
    case 'mxfp4':
      return mxfp4Matrix(checkpoint, {
        name,
        shape,
        values: tensor('weight_packed'),
        scales: tensor('weight_scale'),
        format: 'compressed-tensors mxfp4',
      });
  }
}

export const compressedTensors: WeightFormat = {
  method: 'compressed-tensors',
  check: (quantization) => void compressedConfig(quantization),
  matrix: (checkpoint, quantization, name, expected) =>
    compressed(checkpoint, quantization, name, expected) ?? plainMatrix(checkpoint, name, expected),
  expert: (checkpoint, _, name, slice) => plainExpert(checkpoint, name, slice),
};
