/** Whether two runs took the same experts: quantised against published, one prompt against another, changed against left alone. */
import { InvalidRequest } from '../../errors.ts';
import type { Trace } from '../trace.ts';
import { OverlapMeter, type Overlap } from './overlap.ts';
import type { Part } from './select.ts';
import { takenIn } from './taken.ts';

/**
 * Token by token: the first of one part with the first of the other, as far as both reach. `overlap` is what OLMoE calls router saturation
 * (arXiv 2409.02060, section 5.1) when `b` is the run to agree with.
 * @throws InvalidRequest for a layer that does not exist, or models of different numbers of experts
 */
export function agreementOf(
  a: { readonly trace: Trace; readonly part?: Part },
  b: { readonly trace: Trace; readonly part?: Part },
  layer: number,
): Overlap {
  const [left, right] = [takenIn(a.trace, layer, a.part), takenIn(b.trace, layer, b.part)];
  if (left.experts !== right.experts)
    throw new InvalidRequest(`routes over ${left.experts} and over ${right.experts} experts do not compare`, { layer });
  const meter = new OverlapMeter(left.experts);
  const n = Math.min(left.rows.length, right.rows.length);
  for (let r = 0; r < n; r++)
    meter.add(left.ids, left.start[r]!, left.start[r + 1]!, right.ids, right.start[r]!, right.start[r + 1]!);
  return meter.result();
}
