/** Mutual information, in bits: how much of one thing the other tells. */
import type { Trace } from '../trace.ts';
import { nothing, permutationChances, type Chance, type Measured } from './chance.ts';
import { chiSquareRatio, NORMAL_95 } from './distributions.ts';
import { chatsOf, type Part } from './select.ts';
import { takenIn, type Taken } from './taken.ts';

export interface Information {
  /** I(X; Y) = H(X) + H(Y) - H(X, Y) of the shares seen. Few counts make it too large. */
  readonly bits: Measured;
  /** Less the bias by Miller and Madow 1955: (cells seen - rows seen - columns seen + 1) / (2 n ln 2). */
  readonly corrected: number;
}

const xLogX = (x: number): number => (x > 0 ? x * Math.log(x) : 0);

/**
 * Of a table [rows, columns] of counts. The band is that of independent rows and columns and independent counts, chi-square over 2 n ln 2: good from
 * about five counts a cell on, too low for emptier tables.
 */
export function informationOf(table: ArrayLike<number>, rows: number, columns: number): Information {
  const [down, across] = [new Float64Array(rows), new Float64Array(columns)];
  let [n, joint, cells] = [0, 0, 0];
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const c = table[i * columns + j]!;
      n += c;
      joint += xLogX(c);
      if (c > 0) cells++;
      down[i]! += c;
      across[j]! += c;
    }
  }
  if (n === 0) return { bits: nothing, corrected: 0 };
  const margins = (m: Float64Array): number => m.reduce((sum, c) => sum + xLogX(c), 0);
  const seen = (m: Float64Array): number => m.reduce((k, c) => k + (c > 0 ? 1 : 0), 0);
  const bits = Math.max(0, (joint - margins(down) - margins(across) + xLogX(n)) / n / Math.LN2);
  const bias = (cells - seen(down) - seen(across) + 1) / (2 * n * Math.LN2);
  const freedom = (seen(down) - 1) * (seen(across) - 1);
  return { bits: { value: bits, chance: independence(freedom, n), n }, corrected: bits - bias };
}

function independence(freedom: number, n: number): Chance {
  const mean = freedom / (2 * n * Math.LN2);
  const at = (z: number): number => (freedom > 0 ? mean * chiSquareRatio(freedom, z) : 0);
  return { mean, low: at(-NORMAL_95), high: at(NORMAL_95), how: 'normal' };
}

/** Counts of labels by experts, [labels, E]. */
export function labelTable({ ids, start, experts }: Taken, labels: ArrayLike<number>, count: number): Float64Array {
  const table = new Float64Array(count * experts);
  for (let r = 0; r + 1 < start.length; r++)
    for (let i = start[r]!; i < start[r + 1]!; i++) table[labels[r]! * experts + ids[i]!]!++;
  return table;
}

/** Numbers each distinct value from 0, in order of appearance. */
export function numbered<T>(values: Iterable<T>): { readonly labels: Int32Array; readonly distinct: readonly T[] } {
  const known = new Map<T, number>();
  const labels: number[] = [];
  for (const value of values) {
    if (!known.has(value)) known.set(value, known.size);
    labels.push(known.get(value)!);
  }
  return { labels: Int32Array.from(labels), distinct: [...known.keys()] };
}

export interface InformationOptions {
  /** Shuffles that make the band: 200 of token ids, 1000 of domains by default. */
  readonly runs?: number;
}

/**
 * I(expert; token id), or I(expert; domain of the chat), of one layer; Mod-Squad (Chen et al. 2023, arXiv 2212.08066) has that of task and expert as
 * a loss. The band: token ids shuffled among tokens, or domains among chats, since the tokens of one chat are no independent samples.
 * @returns null when the trace has no token ids, or chats of fewer than two domains
 * @throws InvalidRequest for a layer that does not exist
 */
export function expertInformation(
  trace: Trace,
  layer: number,
  by: 'token' | 'domain',
  part?: Part,
  options: InformationOptions = {},
): Information | null {
  const taken = takenIn(trace, layer, part);
  const groups = by === 'token' ? tokenGroups(trace, taken) : domainGroups(trace, taken);
  if (!groups) return null;
  const { unit, label, count } = groups;
  const bitsOf = by === 'token' ? informationMeter(taken, unit, count) : tableMeter(taken, unit, label.length, count);
  const runs = options.runs ?? (by === 'token' ? 200 : 1000);
  const labels = Int32Array.from(unit, (u) => label[u]!);
  const { bits, corrected } = informationOf(labelTable(taken, labels, count), count, taken.experts);
  if (bits.n === 0) return { bits, corrected };
  const [chance] = permutationChances(label, runs, 1, (mixed, out) => (out[0] = bitsOf(mixed)));
  return { bits: { ...bits, chance: chance! }, corrected };
}

/** I in bits for one labelling of units after another, touching only cells that are seen: tables of token ids are large and nearly empty. */
function informationMeter(
  { ids, start, experts }: Taken,
  unit: ArrayLike<number>,
  count: number,
): (label: Int32Array) => number {
  const cells = new Uint32Array(count * experts);
  const down = new Float64Array(count);
  const across = new Float64Array(experts);
  for (const id of ids) across[id]!++;
  const fixed = xLogX(ids.length) - across.reduce((sum, c) => sum + xLogX(c), 0);
  // What a cell's x ln x grows by when it counts one more.
  const growth = Float64Array.from({ length: ids.length + 1 }, (_, c) => xLogX(c + 1) - xLogX(c));
  return (label) => {
    down.fill(0);
    let joint = 0;
    const visit = (look: (cell: number, of: number) => void): void => {
      for (let r = 0; r + 1 < start.length; r++)
        for (let i = start[r]!; i < start[r + 1]!; i++) look(label[unit[r]!]! * experts + ids[i]!, label[unit[r]!]!);
    };
    visit((cell, of) => {
      joint += growth[cells[cell]!++]!;
      down[of]!++;
    });
    visit((cell) => (cells[cell] = 0));
    return Math.max(0, (joint + fixed - down.reduce((sum, c) => sum + xLogX(c), 0)) / ids.length / Math.LN2);
  };
}

/** The same for few units of many tokens each, from the counts of each unit. */
function tableMeter(
  taken: Taken,
  unit: ArrayLike<number>,
  units: number,
  count: number,
): (label: Int32Array) => number {
  const { experts } = taken;
  const ofUnits = labelTable(taken, unit, units);
  const table = new Float64Array(count * experts);
  return (label) => {
    table.fill(0);
    for (let i = 0; i < ofUnits.length; i++)
      table[label[Math.floor(i / experts)]! * experts + (i % experts)]! += ofUnits[i]!;
    return informationOf(table, count, experts).bits.value;
  };
}

/** What is shuffled: `unit[r]` is the unit of row r, `label[u]` the label of a unit. */
interface Groups {
  readonly unit: Int32Array | Uint32Array;
  readonly label: Int32Array;
  readonly count: number;
}

function tokenGroups({ tokens }: Trace, { rows }: Taken): Groups | null {
  if (!tokens) return null;
  const { labels, distinct } = numbered(Array.from(rows, (row) => tokens[row]!));
  return { unit: rows.map((_, r) => r), label: labels, count: distinct.length };
}

/** Chats without a domain are a domain of their own, `null`. */
export function domainGroups(
  trace: Trace,
  { rows }: Pick<Taken, 'rows'>,
): (Groups & { readonly names: readonly (string | null)[] }) | null {
  const { chats } = trace;
  if (!chats) return null;
  const of = chatsOf(trace);
  const units = numbered(Array.from(rows, (row) => of[row]!));
  const { labels, distinct } = numbered(units.distinct.map((chat) => chats[chat]?.domain ?? null));
  return distinct.length < 2 ? null : { unit: units.labels, label: labels, count: distinct.length, names: distinct };
}
