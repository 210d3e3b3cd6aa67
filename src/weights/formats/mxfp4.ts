/**
 * MXFP4 as in gpt-oss: `${name}_blocks` [E, N, K/32, 16] u8, low nibble first, and `${name}_scales` [E, N, K/32] e8m0.
 * Rows are output features, whatever orientation the plain tensors have.
 */
import type { Json } from '../../config/read.ts';
import { ConfigReader } from '../../config/read.ts';
import { InvalidCheckpoint } from '../../errors.ts';
import type { Checkpoint } from '../checkpoint.ts';
import { CHUNK, planes, type Layout } from '../layout.ts';
import type { PublishedMatrix } from '../matrix.ts';
import { expectDType, expectShape, type ExpertSlice, type WeightFormat } from './format.ts';
import { nativeNibbles } from './nibbles.ts';
import { padRows, plainExpert, plainMatrix } from './plain.ts';
import { alternateRows, plainRows, type RowReader } from './rows.ts';

const LAYOUT: Layout = { kind: 'mxfp4' };
const NO_ZEROS = new Uint32Array(0);

function blocksExpert(checkpoint: Checkpoint, name: string, slice: ExpertSlice): PublishedMatrix | null {
  if (!checkpoint.has(`${name}_blocks`)) return null;
  const blocks = checkpoint.tensor(`${name}_blocks`);
  const scales = checkpoint.tensor(`${name}_scales`);
  const { e, experts, tensorRows, rows, cols, first, stride, label } = slice;
  if (cols % CHUNK !== 0) {
    throw new InvalidCheckpoint(
      'wrong-shape',
      `${blocks.name} holds rows of whole blocks of ${CHUNK}, but config.json asks for ${cols} columns`,
      {
        tensor: blocks.name,
        expected: cols,
      },
    );
  }
  const chunks = cols / CHUNK;
  expectDType(blocks, 'U8');
  expectDType(scales, 'U8', 'F8_E8M0');
  expectShape(blocks, [experts, tensorRows, chunks, 16]);
  expectShape(scales, [experts, tensorRows, chunks]);
  const reader = (info: typeof blocks, rowBytes: number): RowReader => {
    const at = e * tensorRows * rowBytes;
    if (stride === 2) return alternateRows(checkpoint, info, { rowBytes, at }, first === 0 ? 0 : 1);
    return plainRows(checkpoint, info, { rowBytes, at: at + first * rowBytes });
  };
  const values = reader(blocks, 16 * chunks);
  const exponents = reader(scales, chunks);
  return {
    name: label,
    rows,
    cols,
    layout: LAYOUT,
    format: 'mxfp4',
    file: blocks.file,
    storedBytes: rows * chunks * 17,
    async read(begin, end, signal) {
      const [v, s] = await Promise.all([values(begin, end, signal), exponents(begin, end, signal)]);
      const { scaleRowWords } = planes(LAYOUT, { rows: end - begin, cols });
      return {
        values: new Uint32Array(v.buffer).map(nativeNibbles),
        scales: padRows(s, end - begin, scaleRowWords * 4),
        zeros: NO_ZEROS,
      };
    },
  };
}

export const mxfp4: WeightFormat = {
  method: 'mxfp4',
  check(quantization: Json) {
    const config = new ConfigReader(quantization, 'config.json: quantization_config');
    config.irrelevant('quant_method', 'modules_to_not_convert'); // the tensors present say what is converted
    config.only('dequantize', false);
    config.finish();
  },
  matrix: (checkpoint, _, name, expected) => plainMatrix(checkpoint, name, expected),
  expert: (checkpoint, _, name, slice) => blocksExpert(checkpoint, name, slice) ?? plainExpert(checkpoint, name, slice),
};
