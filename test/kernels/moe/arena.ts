/** Experts and routings for the tests of this folder. */
import { downShape, gateUpShape, MISSING_SLOT, type SlotLayout } from '../../../src/moe/slots.ts';
import type { Assignment, ExpertWeights } from '../../../src/reference/moe/expert_up.ts';
import { decodeMatrix, encodeMatrix } from '../../../src/reference/weights.ts';
import { prng } from '../../../src/util/prng.ts';
import { normals } from '../../support/random.ts';

/** `topK` different experts for every token, pair by pair. */
export function chooseExperts(seed: number, tokens: number, experts: number, topK: number): Uint32Array<ArrayBuffer> {
  const random = prng(seed);
  const ids = new Uint32Array(tokens * topK);
  for (let t = 0; t < tokens; t++) {
    const left = [...Array(experts).keys()];
    for (let k = 0; k < topK; k++) ids[t * topK + k] = left.splice(Math.floor(random() * left.length), 1)[0]!;
  }
  return ids;
}

/** [T, 2K]: the K ids of a token, then the bits of its K weights. */
export function routedWords(
  ids: Uint32Array,
  weights: Float32Array<ArrayBuffer>,
  topK: number,
): Uint32Array<ArrayBuffer> {
  const bits = new Uint32Array(weights.buffer, weights.byteOffset, weights.length);
  const words = new Uint32Array(2 * ids.length);
  for (let pair = 0; pair < ids.length; pair++) {
    const at = Math.floor(pair / topK) * 2 * topK + (pair % topK);
    words[at] = ids[pair]!;
    words[at + topK] = bits[pair]!;
  }
  return words;
}

export interface Arena {
  readonly words: Uint32Array<ArrayBuffer>;
  readonly slotTable: Uint32Array<ArrayBuffer>; // [E]
  /** As the GPU should see them: null where the slot is missing. */
  readonly experts: readonly (ExpertWeights | null)[];
}

/** Random experts in slots that are not in the order of their ids; slot 0 and everything unused is junk (NaN as bf16, f16 and f32). */
export function makeArena(slot: SlotLayout, experts: number, missing: readonly number[] = [], scale = 0.3): Arena {
  const words = new Uint32Array(((experts + 1) * slot.bytes) / 4).fill(0x7fff7fff);
  const slotTable = new Uint32Array(experts).fill(MISSING_SLOT);
  const weights = Array.from({ length: experts }, (_, e) => {
    if (missing.includes(e)) return null;
    const home = experts - e;
    slotTable[e] = home;
    return writeExpert(words.subarray((home * slot.bytes) / 4, ((home + 1) * slot.bytes) / 4), slot, 10 * e, scale);
  });
  return { words, slotTable, experts: weights };
}

function writeExpert(words: Uint32Array, slot: SlotLayout, seed: number, scale: number): ExpertWeights {
  const [up, down] = [gateUpShape(slot), downShape(slot)];
  const gateUp = encodeMatrix(normals(seed, up.rows * up.cols, scale), slot.gateUp, up);
  const downWords = encodeMatrix(normals(seed + 1, down.rows * down.cols, scale), slot.down, down);
  words.set(gateUp, slot.gateUpAt / 4);
  words.set(downWords, slot.downAt / 4);
  const decoded = { gateUp: decodeMatrix(gateUp, slot.gateUp, up), down: decodeMatrix(downWords, slot.down, down) };
  if (!slot.bias) return decoded;
  const gateUpBias = normals(seed + 2, up.rows, 0.5);
  const downBias = normals(seed + 3, down.rows, 0.5);
  words.set(new Uint32Array(gateUpBias.buffer), slot.gateUpBiasAt / 4);
  words.set(new Uint32Array(downBias.buffer), slot.downBiasAt / 4);
  return { ...decoded, gateUpBias, downBias };
}

/** Each row's expert; row r reads row rowOf(r) of x. */
export const assign = (arena: Arena, ids: ArrayLike<number>, rowOf: (r: number) => number): Assignment[] =>
  Array.from(ids, (e, r) => ({ row: rowOf(r), expert: arena.experts[e] ?? null }));
