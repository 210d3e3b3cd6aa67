/** Whether a token takes the experts that tokens before it took. */
import type { Trace } from '../trace.ts';
import { OverlapMeter, type Overlap } from './overlap.ts';
import { chatsOf, type Part } from './select.ts';
import { takenIn } from './taken.ts';

export interface Repetition extends Overlap {
  /** Tokens between the two, 1: the one before. */
  readonly lag: number;
}

/**
 * Each token of the part against the one `lag` places before it, in the same chat and the same stretch of tokens.
 * Mixtral (arXiv 2401.04088, table 5) gives the same first or any of two experts; `any` is that for all k.
 * @throws InvalidRequest for a layer that does not exist
 */
export function repetitionOf(
  trace: Trace,
  layer: number,
  part?: Part,
  lags: readonly number[] = [1],
): readonly Repetition[] {
  const { rows, ids, start, experts } = takenIn(trace, layer, part);
  const chats = chatsOf(trace);
  return lags.map((lag) => {
    const meter = new OverlapMeter(experts);
    for (let r = lag; r < rows.length; r++) {
      const before = r - lag;
      if (rows[r]! - rows[before]! !== lag || chats[rows[r]!] !== chats[rows[before]!]) continue;
      meter.add(ids, start[before]!, start[before + 1]!, ids, start[r]!, start[r + 1]!);
    }
    return { lag, ...meter.result() };
  });
}
