/** The routes that tokens take through several layers. */
import { InvalidRequest } from '../../errors.ts';
import type { Trace } from '../trace.ts';
import type { Chance } from './chance.ts';
import { binomialBand } from './distributions.ts';
import { checkLayer, rowsOf, type Part } from './select.ts';
import { ABSENT } from '../trace.ts';

export interface Path {
  /** The first expert of each layer of the window. */
  readonly experts: readonly number[];
  /** Tokens that took it. */
  readonly support: number;
  /** support / tokens, against E^-layers: every expert first with the same chance. */
  readonly share: number;
  readonly chance: Chance;
  /** share over the product of each expert's own share: above 1, layers follow each other more than their popularity explains. */
  readonly lift: number;
}

export interface Paths {
  readonly from: number;
  readonly to: number;
  readonly tokens: number;
  readonly distinct: number;
  /** The most frequent first; of equals, the one that came first. One in many lies outside its band by chance. */
  readonly paths: readonly Path[];
}

/**
 * @param window layers `from` (in) to `to` (not in)
 * @throws InvalidRequest for layers that do not exist
 */
export function pathsOf(
  trace: Trace,
  window: { readonly from: number; readonly to: number },
  part?: Part,
  most = 20,
): Paths {
  const { layers, experts, topK } = trace.model;
  const { from, to } = window;
  checkLayer(trace.model, from);
  checkLayer(trace.model, to - 1);
  if (to <= from) throw new InvalidRequest(`layers ${from} to ${to} are no window`, { from, to });
  const found = new Map<string, { readonly experts: readonly number[]; support: number }>();
  const alone = new Float64Array((to - from) * experts);
  let tokens = 0;
  for (const row of rowsOf(trace, part)) {
    const path = Array.from({ length: to - from }, (_, l) => trace.ids[(row * layers + from + l) * topK]!);
    if (path.includes(ABSENT)) continue;
    tokens++;
    path.forEach((e, l) => alone[l * experts + e]!++);
    const key = path.join();
    const known = found.get(key);
    if (known) known.support++;
    else found.set(key, { experts: path, support: 1 });
  }
  const top = [...found.values()].sort((a, b) => b.support - a.support).slice(0, most);
  const chance: Chance | null = tokens > 0 ? { ...binomialBand(tokens, experts ** (from - to)), how: 'exact' } : null;
  const paths = top.map(({ experts: path, support }): Path => {
    const expected = path.reduce((p, e, l) => (p * alone[l * experts + e]!) / tokens, 1);
    return { experts: path, support, share: support / tokens, chance: chance!, lift: support / tokens / expected };
  });
  return { from, to, tokens, distinct: found.size, paths };
}
