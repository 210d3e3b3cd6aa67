/** A GGUF header as the descriptions of architectures look at it. */
import { ConfigReader, type Json } from '../../config/read.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../../errors.ts';
import type { GgufHeader } from './header.ts';

export interface ModelFile {
  /** `general.architecture`. */
  readonly architecture: string;
  /** Its keys, without the architecture in front: each must be read, declared irrelevant, or is refused by name. */
  readonly keys: ConfigReader;
  readonly hasTensor: (name: string) => boolean;
  /** In weights, null when there is no such tensor. */
  readonly shapeOf: (name: string) => readonly number[] | null;
  /** What rotary frequencies are divided by, where the file has two lists of factors. */
  readonly longRope: LongRopeFactors | null;
}

export interface LongRopeFactors {
  readonly short: readonly number[];
  readonly long: readonly number[];
}

/**
 * @param tensors of all splits
 * @throws InvalidCheckpoint
 */
export function modelFile(
  header: GgufHeader,
  tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>,
  longRope: LongRopeFactors | null = null,
): ModelFile {
  const architecture = header.metadata.get('general.architecture');
  if (typeof architecture !== 'string')
    throw new InvalidCheckpoint('metadata', `${header.file} has no general.architecture: it is no model`, {
      file: header.file,
    });
  // 2 is the layout of blocks since 2023.
  const quantization = header.metadata.get('general.quantization_version') ?? 2;
  if (quantization !== 2)
    throw new UnsupportedModel(
      `${header.file}: general.quantization_version = ${String(quantization)}; webmoe reads 2`,
      {
        file: header.file,
      },
    );
  const prefix = `${architecture}.`;
  const own = [...header.metadata].filter(([key]) => key.startsWith(prefix));
  const keys = Object.fromEntries(own.map(([key, value]) => [key.slice(prefix.length), value as Json]));
  return {
    architecture,
    keys: new ConfigReader(keys, `${header.file}: ${architecture}`),
    hasTensor: (name) => tensors.has(name),
    shapeOf: (name) => tensors.get(name)?.shape ?? null,
    longRope,
  };
}
