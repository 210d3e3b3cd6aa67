/** What a run left behind on the GPU, in one readback. */
import { pairsOf, type LayerShape, type LayerStep } from '../config/moe-layer.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { sizesOf, type LayerViews } from '../kernels/layer/views.ts';
import { firstWords } from './buffers.ts';
import { DispatchMap } from './dispatch.ts';
import type { RouterSums } from './losses.ts';

export interface LastRun {
  readonly step: LayerStep;
  readonly sums: RouterSums;
  readonly dispatch: DispatchMap;
}

export async function readRun(gpu: Gpu, run: LayerViews, shape: LayerShape, step: LayerStep): Promise<LastRun> {
  const { G, PLANES } = sizesOf(shape);
  const { chosen, kept, weights, rowOfPair, counts, sums, facts } = run;
  const sequences = Math.ceil(step.tokens / step.sequence);
  const pairs = step.tokens * shape.topK;
  const columns = (PLANES - 2) * G;
  const lengths = [pairs, pairs, pairs, step.tokens * pairsOf(shape), counts.size / 4];
  lengths.push(sequences * columns, step.tokens * 3);
  const views = [chosen, kept, weights, rowOfPair, counts, sums, facts].map((v, i) => firstWords(v, lengths[i]!));
  const words = new Uint32Array(await gpu.readAll(views));
  let at = 0;
  const [ids, keeps, weightBits, rows, rowCounts, sumBits, factBits] = lengths.map((n) =>
    words.slice(at, (at += n)),
  ) as [Uint32Array<ArrayBuffer>, ...Uint32Array<ArrayBuffer>[]];
  const dispatch = new DispatchMap(
    { chosen: ids, kept: keeps!, weights: floats(weightBits!), rowOfPair: rows!, counts: rowCounts! },
    shape,
  );
  return {
    step,
    dispatch,
    sums: routerSums(floats(sumBits!), floats(factBits!), G, { columns, hasLoad: PLANES === 4 && step.training }),
  };
}

const floats = (words: Uint32Array<ArrayBuffer>): Float32Array<ArrayBuffer> => new Float32Array(words.buffer);

/** @param columns of a sequence in `sums`: shares, then maybe loads */
function routerSums(
  sums: Float32Array,
  facts: Float32Array,
  choices: number,
  { columns, hasLoad }: { readonly columns: number; readonly hasLoad: boolean },
): RouterSums {
  const rows = Array.from({ length: sums.length / columns }, (_, s) => sums.subarray(s * columns, (s + 1) * columns));
  const fact = (at: number): Float64Array =>
    Float64Array.from({ length: facts.length / 3 }, (_, t) => facts[3 * t + at]!);
  const loadOf = (e: number): number => rows.reduce((sum, row) => sum + row[choices + e]!, 0);
  return {
    shares: rows.map((row) => Float64Array.from(row.subarray(0, choices))),
    load: hasLoad ? Float64Array.from({ length: choices }, (_, e) => loadOf(e)) : null,
    logSumExp: fact(0),
    entropy: fact(1),
  };
}
