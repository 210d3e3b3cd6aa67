/** Files that a visitor picked: the folder of a model, or a model that is one .gguf file or its splits. */
import { blobsByName, filesSource } from '../files-source.ts';
import type { ByteSource } from '../source.ts';
import { ggufSource } from './gguf-source.ts';

const GGUF = /\.gguf$/i;
const SPLIT = /-\d{5}-of-\d{5}\.gguf$/i;

/** The file's name may hold anything; splits are found by theirs. */
const plainName = (name: string): string => (SPLIT.test(name) ? name : 'model.gguf');

/** @throws InvalidRequest when two files end up with one name, or there are none */
export function pickedSource(files: Iterable<File> | ReadonlyMap<string, Blob>): ByteSource {
  const blobs = files instanceof Map ? new Map<string, Blob>(files) : blobsByName([...(files as Iterable<File>)]);
  const found = [...blobs.keys()].filter((name) => GGUF.test(name)).sort();
  const [first] = found;
  const isOne = found.length === 1 || found.every((name) => SPLIT.test(name));
  if (first === undefined || !isOne || blobs.has('config.json')) return filesSource(blobs);
  const named = new Map(found.map((name) => [plainName(name), blobs.get(name)!]));
  return ggufSource(filesSource(named), plainName(first));
}
