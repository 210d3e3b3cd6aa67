/** How attention is cut into workgroups: numbers that the shaders, their grids and the memory planner must agree on. */
import { invariant } from '../../util/assert.ts';
import { alignUp, ceilDiv } from '../../util/math.ts';

/** Keys that one workgroup of the decode kernel walks over. */
export const KEYS_PER_SPLIT = 128;

/** Workgroup memory that WebGPU grants everywhere. */
const WORKGROUP_BYTES = 16384;

export const splitCount = (capacity: number): number => ceilDiv(capacity, KEYS_PER_SPLIT);

/** Position of the first key that a query at `position` sees: with `chunked`, where its stretch of `window` positions begins. */
export function firstVisible(position: number, window: number | null, chunked = false): number {
  if (window === null) return 0;
  return chunked ? position - (position % window) : Math.max(0, position + 1 - window);
}

/** Bytes of decode scratch for steps of up to `tokens`: [tokens, heads, splits, valueSize + 2] f32, or none when one split holds the cache. */
export function partialsBytes(shape: { heads: number; valueSize: number; capacity: number; tokens: number }): number {
  const splits = splitCount(shape.capacity);
  return splits > 1 ? 4 * shape.tokens * shape.heads * splits * (shape.valueSize + 2) : 0;
}

/**
 * Query heads that one decode workgroup handles: the most, up to four (each costs registers for its sums), that share a kv head and fit workgroup
 * memory: the query, 8 x 33 shares of scores, scores and weights of 32 keys, and the running maximum, its successor and the decay.
 */
export function decodeRows({ heads, kvHeads, keySize }: { heads: number; kvHeads: number; keySize: number }): number {
  const fits = (rows: number): boolean => 4 * rows * (keySize + 8 * 33 + 2 * 32 + 3) <= WORKGROUP_BYTES;
  const rows = [4, 3, 2, 1].find((r) => (heads / kvHeads) % r === 0 && fits(r));
  invariant(rows, `a key of ${keySize} values does not fit the decode kernel's workgroup memory`);
  return rows;
}

/** Workgroups a split that the decode kernel should have at least where all heads share their keys. */
const LATENT_WORKGROUPS = 8;

/**
 * The same for latents, which all heads share: with more heads a workgroup they are read less often, and fewer workgroups take queries down and
 * results up. Beside the above, workgroup memory holds the token's own row, and a result on its way up.
 */
export function latentRows({
  heads,
  keySize,
  valueSize,
}: {
  heads: number;
  keySize: number;
  valueSize: number;
}): number {
  const fits = (rows: number): boolean =>
    4 * (rows * (keySize + 8 * 33 + 2 * 32 + 3) + keySize + alignUp(valueSize, 32)) <= WORKGROUP_BYTES;
  const rows = [4, 2, 1].find((r) => heads % r === 0 && fits(r) && (r === 1 || heads / r >= LATENT_WORKGROUPS));
  invariant(rows, `a latent of ${keySize} values does not fit the decode kernel's workgroup memory`);
  return rows;
}

/**
 * The prefill kernel's tile. A lane keeps ceil(valueSize / 64) sums a query: at most 64 in all for the sake of registers, with at least 8 queries.
 * Heads are staged in equal slices of at most `queries` dimensions, whatever the head size: workgroup memory is 11.4 KiB at 32 queries, less below.
 */
export function prefillTile({ keySize, valueSize }: { keySize: number; valueSize: number }): {
  queries: number;
  slice: number;
} {
  const sums = ceilDiv(valueSize, 64);
  const queries = [32, 16].find((n) => n * sums <= 64) ?? 8;
  const slices = ceilDiv(keySize, queries);
  return { queries, slice: ceilDiv(keySize, slices) };
}
