/** What an expert likes: token ids, and kinds of tokens. */
import type { Trace } from '../trace.ts';
import { loadChances, normalChance, nothing, tokensDrawn, type Chance, type Draws, type Measured } from './chance.ts';
import { hypergeometricBand } from './distributions.ts';
import { labelTable, numbered } from './information.ts';
import { chatsOf, type Part } from './select.ts';
import { takenIn, type Taken } from './taken.ts';
import { TOKEN_TYPES, tokenType, type TokenType } from './token-type.ts';

/** Ids of each row: the token that went in, or the one that follows it in its chat (-1: none). null when the trace has no ids. */
function idsOf(trace: Trace, rows: Uint32Array, of: 'input' | 'next'): Int32Array | null {
  const { tokens } = trace;
  if (!tokens) return null;
  if (of === 'input') return Int32Array.from(rows, (row) => tokens[row]!);
  const chats = chatsOf(trace);
  return Int32Array.from(rows, (row) => (chats[row + 1] === chats[row] ? tokens[row + 1]! : -1));
}

export interface Vocabulary {
  /** Of each id with enough occurrences: its most frequent expert, and the share of its occurrences that took it. */
  readonly ids: readonly {
    readonly id: number;
    readonly times: number;
    readonly expert: number;
    readonly share: number;
  }[];
  /**
   * Mean of those shares: vocabulary specialisation (OLMoE, arXiv 2409.02060, section 5.4). `n` counts ids. By chance it is not k / E but that of the
   * luckiest of E experts.
   */
  readonly specialisation: Measured;
}

/**
 * @param options.least occurrences of an id that counts, 10 by default
 * @returns null when the trace has no token ids
 * @throws InvalidRequest for a layer that does not exist
 */
export function vocabularyOf(
  trace: Trace,
  layer: number,
  options: { readonly of?: 'input' | 'next'; readonly least?: number; readonly part?: Part } = {},
): Vocabulary | null {
  const { of = 'input', least = 10, part } = options;
  const taken = takenIn(trace, layer, part);
  const tokens = idsOf(trace, taken.rows, of);
  if (!tokens) return null;
  const { labels, distinct } = numbered(tokens);
  const { experts, start } = taken;
  const table = labelTable(taken, labels, distinct.length);
  const draws = distinct.map((): number[] => Array<number>(trace.model.topK + 1).fill(0));
  labels.forEach((label, r) => draws[label]![start[r + 1]! - start[r]!]!++);
  const ids: Vocabulary['ids'][number][] = [];
  const kept: Draws[] = [];
  distinct.forEach((id, label) => {
    const of: Draws = { experts, taking: draws[label]! };
    const times = tokensDrawn(of);
    if (id < 0 || times < Math.max(1, least)) return;
    const row = table.subarray(label * experts, (label + 1) * experts);
    const expert = row.indexOf(row.reduce((a, b) => Math.max(a, b)));
    ids.push({ id, times, expert, share: row[expert]! / times });
    kept.push(of);
  });
  ids.sort((a, b) => b.times - a.times || a.id - b.id);
  if (ids.length === 0) return { ids, specialisation: nothing };
  const value = ids.reduce((sum, i) => sum + i.share, 0) / ids.length;
  // In this order one simulation grows from each to the next.
  const chances = kept.sort((a, b) => tokensDrawn(a) - tokensDrawn(b)).map(mostChance);
  return { ids, specialisation: { value, chance: meanChance(chances), n: ids.length } };
}

/** Largest share of the tokens that any one expert has, and the square of it, for the variance. */
function mostChance(draws: Draws): Chance {
  const tokens = tokensDrawn(draws);
  const [most, square] = loadChances('most', draws, 2, (counts, out) => {
    out[0] = counts.reduce((a, b) => Math.max(a, b)) / tokens;
    out[1] = out[0] ** 2;
  });
  const deviation = Math.sqrt(Math.max(0, square!.mean - most!.mean ** 2));
  return { ...most!, low: most!.mean - deviation, high: most!.mean + deviation };
}

/** Of the mean of independent values, each given as its mean ± one deviation. */
function meanChance(chances: readonly Chance[]): Chance {
  const n = chances.length;
  const mean = chances.reduce((sum, c) => sum + c.mean, 0) / n;
  const variance = chances.reduce((sum, c) => sum + ((c.high - c.low) / 2) ** 2, 0) / n ** 2;
  return { ...chances[0]!, ...normalChance(mean, variance), how: 'simulated' };
}

export interface TopToken {
  readonly id: number;
  /** null when the trace has no texts. */
  readonly text: string | null;
  /** Occurrences that took the expert, of all. */
  readonly times: number;
  readonly of: number;
  /** times / of against the share of all tokens that took the expert. */
  readonly lift: number;
}

/**
 * The ids that an expert took most often.
 * @returns null when the trace has no token ids
 * @throws InvalidRequest for a layer that does not exist
 */
export function topTokens(
  trace: Trace,
  layer: number,
  expert: number,
  options: {
    readonly of?: 'input' | 'next';
    readonly most?: number;
    readonly least?: number;
    readonly part?: Part;
  } = {},
): readonly TopToken[] | null {
  const { of = 'input', most = 20, least = 1, part } = options;
  const taken = takenIn(trace, layer, part);
  const tokens = idsOf(trace, taken.rows, of);
  if (!tokens) return null;
  const seen = new Map<number, { text: string | null; times: number; of: number }>();
  let all = 0;
  tokens.forEach((id, r) => {
    if (id < 0) return;
    const row = taken.rows[r]! + (of === 'next' ? 1 : 0);
    const entry = seen.get(id) ?? { text: trace.texts?.[row] ?? null, times: 0, of: 0 };
    seen.set(id, entry);
    entry.of++;
    if (!took(taken, r, expert)) return;
    entry.times++;
    all++;
  });
  const known = tokens.reduce((n, id) => n + (id >= 0 ? 1 : 0), 0);
  return [...seen]
    .filter(([, e]) => e.times >= Math.max(1, least))
    .map(([id, e]) => ({ id, ...e, lift: e.times / e.of / (all / known) }))
    .sort((a, b) => b.times - a.times || a.id - b.id)
    .slice(0, most);
}

const took = ({ ids, start }: Taken, r: number, expert: number): boolean =>
  ids.subarray(start[r]!, start[r + 1]!).includes(expert);

export interface TypeTable {
  readonly types: readonly TokenType[];
  readonly experts: number;
  /** Tokens of each type. */
  readonly tokens: readonly number[];
  /** [types, E] */
  readonly counts: Float64Array;
  /** [E], tokens of each expert. */
  readonly ofExpert: Float64Array;
}

/**
 * Which kinds of tokens each expert takes.
 * @returns null when the trace has no texts
 * @throws InvalidRequest for a layer that does not exist
 */
export function typesOf(trace: Trace, layer: number, part?: Part): TypeTable | null {
  const { texts } = trace;
  const taken = takenIn(trace, layer, part);
  if (!texts) return null;
  const labels = Int32Array.from(taken.rows, (row) => TOKEN_TYPES.indexOf(tokenType(texts[row]!)));
  const counts = labelTable(taken, labels, TOKEN_TYPES.length);
  const { experts, start } = taken;
  const tokens = TOKEN_TYPES.map((_, t) =>
    labels.reduce((n, l, r) => n + (l === t && start[r + 1]! > start[r]! ? 1 : 0), 0),
  );
  const ofExpert = Float64Array.from({ length: experts }, (_, e) =>
    TOKEN_TYPES.reduce((n, _t, t) => n + counts[t * experts + e]!, 0),
  );
  return { types: TOKEN_TYPES, experts, tokens, counts, ofExpert };
}

/** Share of each type among an expert's tokens. The band: as many tokens drawn from all, whatever their type. `n` counts the expert's tokens. */
export function typeShares(
  { types, experts, tokens, counts, ofExpert }: Omit<TypeTable, 'types'> & { readonly types: readonly string[] },
  expert: number,
): readonly Measured[] {
  const n = ofExpert[expert]!;
  const all = tokens.reduce((a, b) => a + b, 0);
  return types.map((_, t) =>
    n === 0
      ? nothing
      : {
          value: counts[t * experts + expert]! / n,
          chance: { ...hypergeometricBand(all, tokens[t]!, n), how: 'exact' },
          n,
        },
  );
}
