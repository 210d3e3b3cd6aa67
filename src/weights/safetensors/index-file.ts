/** `model.safetensors.index.json`: which shard has which tensor. Everything in it is a claim; the shards' headers decide. */
import { InvalidCheckpoint } from '../../errors.ts';
import { checkFileName } from '../file-name.ts';
import { JsonScanner, type JsonFail } from './json-scanner.ts';
import { MAX_FILE_NAME, MAX_INDEX_DEPTH, MAX_INDEX_ENTRIES, MAX_NAME_BYTES, MAX_SHARDS } from './limits.ts';

export interface ShardIndex {
  /** Shard file of each tensor. */
  readonly shardOf: ReadonlyMap<string, string>;
  /** In order of appearance. */
  readonly shards: readonly string[];
}

/** @throws InvalidCheckpoint: `index`, `path`, `limit`, `duplicate-key` */
export function parseIndex(json: Uint8Array, file: string): ShardIndex {
  const fail: JsonFail = (problem, message, at) => {
    const fault = problem === 'limit' ? 'limit' : problem === 'duplicate' ? 'duplicate-key' : 'index';
    throw new InvalidCheckpoint(fault, `${file}: ${message} (byte ${at})`, { file, at });
  };
  const scanner = new JsonScanner(json, { maxDepth: MAX_INDEX_DEPTH, fail });
  const shardOf = new Map<string, string>();
  const shards = new Map<string, string>();
  let found = false;
  scanner.object('the index', 1024, 1000, (key) => {
    if (key !== 'weight_map') {
      scanner.skip(); // metadata.total_size and the like are for display only
      return;
    }
    found = true;
    scanner.object('weight_map', 6 * MAX_NAME_BYTES, MAX_INDEX_ENTRIES, (tensor) => {
      const name = scanner.string(`the file of ${tensor}`, 8 * MAX_FILE_NAME);
      let shard = shards.get(name); // one string for all entries of a shard
      if (shard === undefined) {
        if (shards.size >= MAX_SHARDS) fail('limit', `names more than ${MAX_SHARDS} files`, scanner.at);
        shards.set(name, (shard = checkFileName(name)));
      }
      shardOf.set(tensor, shard);
    });
  });
  scanner.end();
  if (!found) throw new InvalidCheckpoint('index', `${file} has no weight_map`, { file });
  return { shardOf, shards: [...shards.keys()] };
}
