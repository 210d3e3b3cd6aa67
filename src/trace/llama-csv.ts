/**
 * Reads what llama.cpp's example `moe-trace` writes (github.com/ggml-org/llama.cpp/pull/28544): lines `layer,expert`, without a header, one for each
 * expert of each token, layer by layer within a batch. The file says nothing else; this is how the rest is found:
 *   - A batch ends where the layer number does not rise. Layers are counted among those that appear.
 *   - K is the shortest run of lines of one layer (a decoded token has K in each); E is one more than the largest id, unless it is given.
 *   - A batch of one token after the first is decoded; all others are prompt. A layer with fewer tokens than its batch has the last ones: llama.cpp
 *     computes the last layer only for tokens whose logits it needs.
 *   - The program reads the ids of a batch without their stride, so that a batch of several tokens gets the complete ranking of its first ones
 *     instead of everyone's best K. A batch without a repeated expert is taken for such a ranking, and the other tokens' experts are absent.
 */
import { InvalidTrace } from '../errors.ts';
import { checkTrace } from './check-trace.ts';
import { roomForIds } from './room.ts';
import type { Trace, TraceStep } from './trace.ts';

export interface LlamaCsvOptions {
  readonly experts?: number; // E
  readonly topK?: number; // K
}

/** Consecutive lines of one layer. */
interface Block {
  readonly layer: number;
  readonly ids: number[];
}

/** @throws InvalidTrace when a line is anything else, or the lines do not make up tokens */
export function readLlamaCsv(text: string, file = 'trace', options: LlamaCsvOptions = {}): Trace {
  const blocks = readBlocks(text, file);
  if (blocks.length === 0) throw new InvalidTrace(`${file} has no line layer,expert`, { file });
  const topK = options.topK ?? blocks.reduce((least, { ids }) => Math.min(least, ids.length), Infinity);
  const experts = options.experts ?? 1 + blocks.reduce((most, { ids }) => Math.max(most, greatest(ids)), 0);
  const bad = blocks.findIndex(({ ids }) => ids.length % topK !== 0);
  if (bad >= 0)
    throw new InvalidTrace(
      `${file}: ${blocks[bad]!.ids.length} experts of layer ${blocks[bad]!.layer} are no multiple of ${topK}, the experts of a token`,
      { file, layer: blocks[bad]!.layer },
    );
  const layers = [...new Set(blocks.map((b) => b.layer))].sort((a, b) => a - b);
  const batches = batchesOf(blocks);
  const steps = stepsOf(batches, topK);
  const tokens = steps.reduce((n, s) => n + s.tokens, 0);
  const ids = roomForIds(tokens, layers.length, topK, file);
  const place = new Map(layers.map((layer, n) => [layer, n]));
  let from = 0;
  batches.forEach((batch, n) => {
    const isRanking = steps[n]!.tokens > 1 && batch.every((block) => isDistinct(block.ids.slice(0, experts)));
    for (const block of batch) {
      const rows = isRanking ? rankedRows(block, topK, experts) : block.ids;
      const missing = steps[n]!.tokens - block.ids.length / topK;
      for (let i = 0; i < rows.length; i++) {
        const token = from + missing + Math.floor(i / topK);
        ids[(token * layers.length + place.get(block.layer)!) * topK + (i % topK)] = rows[i]!;
      }
    }
    from += steps[n]!.tokens;
  });
  const name = file.replace(/\.csv$/i, '');
  const model = { name, layers: layers.length, experts, topK, expertBytes: layers.map(() => 1) };
  return checkTrace({ model, steps, ids, weights: null, origins: null }, file);
}

function readBlocks(text: string, file: string): Block[] {
  const blocks: Block[] = [];
  text.split('\n').forEach((line, n) => {
    const row = line.trim();
    if (row === '' || (n === 0 && row === 'layer,expert')) return;
    const [, layer, expert] = /^(\d{1,6}),(\d{1,6})$/.exec(row) ?? [];
    if (layer === undefined)
      throw new InvalidTrace(`${file}:${n + 1} is no line layer,expert: ${row.slice(0, 80)}`, { file });
    const last = blocks.at(-1);
    if (last?.layer === Number(layer)) last.ids.push(Number(expert));
    else blocks.push({ layer: Number(layer), ids: [Number(expert)] });
  });
  return blocks;
}

const greatest = (ids: readonly number[]): number => ids.reduce((a, b) => Math.max(a, b), 0);
const isDistinct = (ids: readonly number[]): boolean => new Set(ids).size === ids.length;

function batchesOf(blocks: readonly Block[]): Block[][] {
  const batches: Block[][] = [];
  let last = Infinity;
  for (const block of blocks) {
    if (block.layer <= last) batches.push([]);
    batches.at(-1)!.push(block);
    last = block.layer;
  }
  return batches;
}

function stepsOf(batches: readonly (readonly Block[])[], topK: number): TraceStep[] {
  let position = 0;
  return batches.map((batch, n) => {
    const tokens = batch.reduce((most, { ids }) => Math.max(most, ids.length / topK), 0);
    const step: TraceStep = { phase: n > 0 && tokens === 1 ? 'decode' : 'prefill', chat: 0, position, tokens };
    position += tokens;
    return step;
  });
}

/** The best K of each whole ranking, [tokens known, K]. */
function rankedRows({ ids }: Block, topK: number, experts: number): number[] {
  const rows: number[] = [];
  for (let at = 0; at + topK <= ids.length; at += experts) rows.push(...ids.slice(at, at + topK));
  return rows;
}
