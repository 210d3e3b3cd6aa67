/** How soon an expert is needed again: what a cache of experts can hope for. */
import type { Trace } from '../trace.ts';
import { nothing, RUNS, simulatedChance, type Chance, type Measured } from './chance.ts';
import type { Part } from './select.ts';
import { takenIn, type Taken } from './taken.ts';

export interface Reuse {
  /** [longest + 1]: needs by tokens since the expert was last used, 1: by the token before. */
  readonly gaps: Uint32Array;
  /**
   * [E]: needs by how many other experts of the layer were used since (LRU stack distance, Mattson et al. 1970): a layer with more slots than that
   * keeps the expert. Experts of one token count in rank order.
   */
  readonly distances: Uint32Array;
  /** Needs of an expert for the first time. */
  readonly first: number;
  /** For each span g: share of needs whose expert one of the g tokens before used; by chance 1 - (1 - k / E)^g. */
  readonly within: readonly { readonly span: number; readonly share: Measured }[];
}

export const SPANS = [1, 2, 4, 8, 16, 32] as const;

/** Chats follow each other, as in a cache that stays. @throws InvalidRequest for a layer that does not exist */
export function reuseOf(trace: Trace, layer: number, part?: Part, spans: readonly number[] = SPANS): Reuse {
  const taken = takenIn(trace, layer, part);
  const { ids, start, rows, experts } = taken;
  const gaps = new Uint32Array(rows.length + 1);
  const distances = new Uint32Array(experts);
  const recent: number[] = [];
  const last = new Int32Array(experts).fill(-1);
  let [first, longest] = [0, 0];
  for (let r = 0; r < rows.length; r++) {
    for (let i = start[r]!; i < start[r + 1]!; i++) {
      const id = ids[i]!;
      if (last[id]! < 0) first++;
      else {
        const depth = recent.indexOf(id);
        distances[depth]!++;
        recent.splice(depth, 1);
        longest = Math.max(longest, r - last[id]!);
        gaps[r - last[id]!]!++;
      }
      recent.unshift(id);
      last[id] = r;
    }
  }
  const within = spans.map((span) => ({ span, share: shareWithin(taken, span) }));
  return { gaps: gaps.slice(0, longest + 1), distances, first, within };
}

/** Only tokens with `span` tokens before them, so that chance has a closed mean. */
function shareWithin({ ids, start, rows, experts, draws }: Taken, span: number): Measured {
  const last = new Int32Array(experts).fill(-1 - span);
  let [hits, n] = [0, 0];
  for (let r = 0; r < rows.length; r++) {
    for (let i = start[r]!; r >= span && i < start[r + 1]!; i++, n++) if (r - last[ids[i]!]! <= span) hits++;
    for (let i = start[r]!; i < start[r + 1]!; i++) last[ids[i]!] = r;
  }
  if (n === 0) return nothing;
  const sizes = draws.taking.flatMap((tokens, k) => (tokens > 0 ? [k] : []));
  // Tokens of different k have no closed form for their order.
  const chance = sizes.length === 1 ? chanceWithin(experts, sizes[0]!, span, rows.length) : null;
  return { value: hits / n, chance, n };
}

const known = new Map<string, Chance>();
/** More tokens are not simulated: the deviation goes down with the root of their number. */
const MOST = 512;

function chanceWithin(experts: number, k: number, span: number, tokens: number): Chance {
  const mean = 1 - (1 - k / experts) ** span;
  const simulated = Math.min(tokens, Math.max(MOST, 8 * span));
  const key = `${experts} ${k} ${span} ${simulated}`;
  const runs = Math.max(200, Math.min(RUNS, Math.floor(4e6 / (simulated * k))));
  const band = known.get(key) ?? simulatedChance(runs, (next) => drawWithin(next, experts, k, span, simulated), mean);
  if (known.size >= 256) known.clear();
  known.set(key, band);
  if (simulated === tokens) return band;
  const narrow = Math.sqrt((simulated - span) / (tokens - span));
  return { ...band, low: mean + (band.low - mean) * narrow, high: mean + (band.high - mean) * narrow };
}

function drawWithin(next: () => number, experts: number, k: number, span: number, tokens: number): number {
  const order = Uint16Array.from({ length: experts }, (_, e) => e);
  const last = new Int32Array(experts).fill(-1 - span);
  let hits = 0;
  for (let t = 0; t < tokens; t++) {
    for (let j = 0; j < k; j++) {
      const i = j + Math.floor(next() * (experts - j));
      const id = order[i]!;
      order[i] = order[j]!;
      order[j] = id;
      if (t >= span && t - last[id]! <= span) hits++;
      last[id] = t;
    }
  }
  return hits / ((tokens - span) * k);
}
