/** The factors of a longrope scaling: two small tensors beside the weights, of which config.json has lists. */
import { InvalidCheckpoint } from '../../errors.ts';
import { readBytes, type ByteSource } from '../source.ts';
import type { GgufHeader } from './header.ts';
import type { LongRopeFactors } from './model-file.ts';
import { shortest } from './values.ts';

/** A pair of values of a head each: as many as the largest head has that is run. */
const MOST_FACTORS = 512;

const nameOf = (length: string): string => `rope_factors_${length}.weight`;

async function read(
  source: ByteSource,
  headers: readonly GgufHeader[],
  name: string,
  signal?: AbortSignal,
): Promise<number[]> {
  const header = headers.find((h) => h.tensors.has(name));
  const tensor = header?.tensors.get(name);
  if (!header || !tensor)
    throw new InvalidCheckpoint(
      'missing-tensor',
      `The file has one of two lists of rotary factors: ${name} is missing`,
      {
        tensor: name,
      },
    );
  const bytes = tensor.end - tensor.begin;
  if (tensor.type.name !== 'F32' || bytes > 4 * MOST_FACTORS)
    throw new InvalidCheckpoint('wrong-shape', `${name} must be a list of at most ${MOST_FACTORS} F32 factors`, {
      tensor: name,
    });
  const values = await readBytes(source, header.file, tensor.begin, tensor.end, signal);
  return Array.from(new Float32Array(values.slice().buffer), shortest);
}

/** null: the file has none. @throws InvalidCheckpoint, SourceError */
export async function readLongRopeFactors(
  source: ByteSource,
  headers: readonly GgufHeader[],
  signal?: AbortSignal,
): Promise<LongRopeFactors | null> {
  if (!['short', 'long'].some((length) => headers.some((h) => h.tensors.has(nameOf(length))))) return null;
  const [short, long] = [
    await read(source, headers, nameOf('short'), signal),
    await read(source, headers, nameOf('long'), signal),
  ];
  return { short, long };
}
