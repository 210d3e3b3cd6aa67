/** A large GGUF comes in files called `name-00001-of-00003.gguf`; the first has the metadata, each the table of its own tensors. */
import { InvalidCheckpoint } from '../../errors.ts';
import type { ByteSource } from '../source.ts';
import { readGgufHeader, type GgufHeader } from './header.ts';
import { MAX_SPLITS } from './limits.ts';

const SPLIT = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i;

/** Names of all files, from that of the first; a file that is whole has no others. @throws InvalidCheckpoint for a count that the name denies */
export function splitNames(file: string, count: number): string[] {
  const [, base, number, total] = SPLIT.exec(file) ?? [];
  if (count <= 1) return [file];
  if (base === undefined || Number(number) !== 1 || Number(total) !== count || count > MAX_SPLITS)
    throw new InvalidCheckpoint(
      'missing-file',
      `${file} is one of ${count} files: open the first, which must be called ...-00001-of-${String(count).padStart(5, '0')}.gguf`,
      { file, count },
    );
  return Array.from({ length: count }, (_, i) => `${base}-${String(i + 1).padStart(5, '0')}-of-${total}.gguf`);
}

/** @throws InvalidCheckpoint, UnsupportedModel, SourceError */
export async function readSplits(source: ByteSource, file: string, signal?: AbortSignal): Promise<GgufHeader[]> {
  const first = await readGgufHeader(source, file, signal);
  const [, ...others] = splitNames(file, Number(first.metadata.get('split.count') ?? 1));
  const headers = [first];
  for (const other of others) headers.push(await readGgufHeader(source, other, signal));
  const total = first.metadata.get('split.tensors.count');
  const found = headers.reduce((n, h) => n + h.tensors.size, 0);
  if (total !== undefined && others.length > 0 && total !== found)
    throw new InvalidCheckpoint('missing-tensor', `${file} announces ${total} tensors, its files have ${found}`, {
      file,
    });
  return headers;
}
