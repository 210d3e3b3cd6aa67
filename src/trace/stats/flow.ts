/** Whether the experts of one layer tell those of another: the predictability that fetching ahead lives on. */
import type { Trace } from '../trace.ts';
import { permutationChances, spreadOf, type Measured } from './chance.ts';
import { informationOf } from './information.ts';
import type { Part } from './select.ts';
import { takenIn, type Taken } from './taken.ts';

export interface FlowOptions {
  /** `all`: each expert of the first layer with each of the second; `top`: only the first of each token. */
  readonly pairs?: 'all' | 'top';
  /** Shuffles that make the band; as many as are quickly done by default, 20 to 200. */
  readonly runs?: number;
}

export interface Flow {
  readonly from: number;
  readonly to: number;
  readonly experts: number;
  readonly tokens: number;
  /** [E of the first layer, E of the second]: pairs of experts that a token took. */
  readonly counts: Float64Array;
  /** In bits; at most log2 E. `n` counts pairs. The band: the tokens of the second layer shuffled against those of the first. */
  readonly information: Measured;
  readonly corrected: number;
}

/** Steps that a page can spend without being noticed. */
const WORK = 2e7;

/** @throws InvalidRequest for a layer that does not exist */
export function flowOf(trace: Trace, from: number, to: number, part?: Part, options: FlowOptions = {}): Flow {
  const [first, second] = [takenIn(trace, from, part), takenIn(trace, to, part)];
  const { experts } = first;
  const most = options.pairs === 'top' ? 1 : trace.model.topK;
  const tokens = first.rows.length;
  const order = Int32Array.from({ length: tokens }, (_, r) => r);
  const counts = pairCounts(first, second, order, most);
  const { bits, corrected } = informationOf(counts, experts, experts);
  const flow = { from, to, experts, tokens, counts, corrected };
  if (bits.n === 0) return { ...flow, information: bits };
  const runs = options.runs ?? Math.round(Math.min(200, Math.max(20, WORK / (tokens * most ** 2 + experts ** 2))));
  const shuffled = (of: Int32Array): number =>
    informationOf(pairCounts(first, second, of, most), experts, experts).bits.value;
  const [chance] = permutationChances(order, runs, 1, (of, out) => (out[0] = shuffled(of)), spreadOf);
  return { ...flow, information: { ...bits, chance: chance! } };
}

function pairCounts(first: Taken, second: Taken, order: Int32Array, most: number): Float64Array {
  const { experts } = first;
  const counts = new Float64Array(experts * experts);
  for (let r = 0; r < order.length; r++) {
    const other = order[r]!;
    const endA = Math.min(first.start[r + 1]!, first.start[r]! + most);
    const endB = Math.min(second.start[other + 1]!, second.start[other]! + most);
    for (let i = first.start[r]!; i < endA; i++)
      for (let j = second.start[other]!; j < endB; j++) counts[first.ids[i]! * experts + second.ids[j]!]!++;
  }
  return counts;
}
