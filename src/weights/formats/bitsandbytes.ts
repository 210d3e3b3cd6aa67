/**
 * bitsandbytes. int8: `weight` i8 [N, K], `SCB` f32 [N], the largest magnitude of a row: w = q * SCB / 127.
 * NF4, FP4: see bitsandbytes-4bit.ts.
 */
import { ConfigReader, type Json } from '../../config/read.ts';
import type { Checkpoint } from '../checkpoint.ts';
import { planes, type IntLayout, type MatrixShape } from '../layout.ts';
import type { PublishedMatrix } from '../matrix.ts';
import { fourBit } from './bitsandbytes-4bit.ts';
import { cached } from './config-cache.ts';
import { expectDType, expectShape, type WeightFormat } from './format.ts';
import { intRows } from './int-rows.ts';
import { ModuleList } from './module-list.ts';
import { padRows, plainExpert, plainMatrix } from './plain.ts';
import { plainRows } from './rows.ts';
import { bytesIn } from './scales.ts';
import { ceilDiv } from '../../util/math.ts';

const NONE = new Uint32Array(0);

/** @throws UnsupportedModel, InvalidCheckpoint */
const config = cached((quantization: Json): ModuleList => {
  const c = new ConfigReader(quantization, 'config.json: quantization_config');
  c.only('bnb_4bit_quant_type', 'nf4', 'fp4');
  c.only('bnb_4bit_quant_storage', 'uint8', 'torch.uint8');
  // The tensors say what is quantised and how; numbers are computed in f32 whatever they were meant to be computed in, and outliers as all others.
  c.irrelevant('quant_method', '_load_in_4bit', '_load_in_8bit', 'load_in_4bit', 'load_in_8bit');
  c.irrelevant('bnb_4bit_compute_dtype', 'bnb_4bit_use_double_quant');
  c.irrelevant('llm_int8_threshold', 'llm_int8_enable_fp32_cpu_offload', 'llm_int8_has_fp16_weight');
  const kept = new ModuleList(c, 'llm_int8_skip_modules');
  c.finish();
  return kept;
});

function int8(checkpoint: Checkpoint, name: string, { rows, cols }: MatrixShape): PublishedMatrix {
  const weight = checkpoint.tensor(`${name}.weight`);
  const largest = checkpoint.tensor(`${name}.SCB`);
  checkpoint.has(`${name}.weight_format`); // how it was kept while loading
  expectDType(weight, 'I8');
  expectDType(largest, 'F32');
  expectShape(weight, [rows, cols]);
  expectShape(largest, [rows]);
  const layout: IntLayout = { kind: 'int', bits: 8, group: cols, scale: 'f32', zeros: false };
  const codes = plainRows(checkpoint, weight, { rowBytes: cols });
  const scales = plainRows(checkpoint, largest, { rowBytes: 4 });
  return {
    name,
    rows,
    cols,
    layout,
    format: 'bitsandbytes int8',
    file: weight.file,
    storedBytes: bytesIn(weight, largest),
    async read(begin, end, signal) {
      const [q, s] = await Promise.all([codes(begin, end, signal), scales(begin, end, signal)]);
      const part = { rows: end - begin, cols };
      const stored = padRows(
        q.map((code) => code ^ 128),
        part.rows,
        ceilDiv(cols, 4) * 4,
      );
      const factors = new Float32Array(s.buffer).map((x) => x / 127);
      return {
        values: intRows(stored, layout, part, null),
        scales: padRows(new Uint8Array(factors.buffer), part.rows, planes(layout, part).scaleRowWords * 4),
        zeros: NONE,
      };
    },
  };
}

export const bitsandbytes: WeightFormat = {
  method: 'bitsandbytes',
  check: (quantization) => void config(quantization),
  matrix(checkpoint, quantization, name, shape) {
    const kept = config(quantization);
    const is4bit = checkpoint.has(`${name}.weight.absmax`);
    if (!is4bit && !checkpoint.has(`${name}.SCB`)) return plainMatrix(checkpoint, name, shape);
    kept.refuse(name);
    return is4bit ? fourBit(checkpoint, name, shape) : int8(checkpoint, name, shape);
  },
  expert: (checkpoint, _, name, slice) => plainExpert(checkpoint, name, slice),
};
