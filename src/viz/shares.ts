/** Of which tokens an expert has its own: shares by kind of token, by domain, by place in the chat, beside the shares of all tokens. */
import type { Measured } from '../trace/stats/chance.ts';
import { labelTable } from '../trace/stats/information.ts';
import { chatsOf, type Part } from '../trace/stats/select.ts';
import { takenIn, type Taken } from '../trace/stats/taken.ts';
import { typeShares, typesOf } from '../trace/stats/vocabulary.ts';
import type { Trace } from '../trace/trace.ts';

/** Tokens of a layer, grouped. */
export interface Groups {
  readonly names: readonly string[];
  /** Of an expert's tokens in each group; the band: as many tokens drawn from all. */
  shares(expert: number): readonly Measured[];
}

function groupsOf(taken: Taken, labels: ArrayLike<number>, names: readonly string[]): Groups {
  const { experts, start } = taken;
  const counts = labelTable(taken, labels, names.length);
  const tokens = names.map(() => 0);
  for (let r = 0; r + 1 < start.length; r++) if (start[r + 1]! > start[r]!) tokens[labels[r]!]!++;
  const ofExpert = Float64Array.from({ length: experts }, (_, e) =>
    names.reduce((n, _name, i) => n + counts[i * experts + e]!, 0),
  );
  return { names, shares: (expert) => typeShares({ types: names, experts, tokens, counts, ofExpert }, expert) };
}

/** null without texts. */
export function typeGroups(trace: Trace, layer: number, part: Part): Groups | null {
  const table = typesOf(trace, layer, part);
  return table && { names: table.types, shares: (expert) => typeShares(table, expert) };
}

/** null with fewer than two domains. */
export function domainGroups(trace: Trace, layer: number, part: Part): Groups | null {
  const { chats } = trace;
  if (!chats) return null;
  const taken = takenIn(trace, layer, part);
  const ofToken = chatsOf(trace);
  const domains = Array.from(taken.rows, (row) => chats[ofToken[row]!]?.domain ?? 'none');
  const names = [...new Set(domains)];
  if (names.length < 2) return null;
  return groupsOf(
    taken,
    domains.map((domain) => names.indexOf(domain)),
    names,
  );
}

const BINS = 8;

/** By place in the chat, in equal stretches of its longest. */
export function positionGroups(trace: Trace, layer: number, part: Part): Groups {
  const taken = takenIn(trace, layer, part);
  const positions = trace.steps.flatMap(({ position, tokens }) =>
    Array.from({ length: tokens }, (_, i) => position + i),
  );
  const mine = Array.from(taken.rows, (row) => positions[row]!);
  const end = mine.reduce((most, at) => Math.max(most, at), 0) + 1;
  const size = Math.max(1, Math.ceil(end / BINS));
  const names = Array.from({ length: Math.ceil(end / size) }, (_, i) => String(i * size));
  return groupsOf(
    taken,
    mine.map((at) => Math.floor(at / size)),
    names,
  );
}
