/** Which known family is closest to a config that none claims: the one that reads it with the fewest keys left over, else the one that is spelt alike. */
import { ConfigReader, type Json } from '../config/read.ts';
import type { Family } from './family.ts';

export interface Nearest {
  readonly family: Family;
  /** The family's model type that is spelt most like the unknown one. */
  readonly modelType: string;
  /** Keys that the family does not know; null when it cannot read the config at all. */
  readonly unknownKeys: readonly string[] | null;
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replace, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}

/** The keys that are left over, or null when the family refuses the config. */
function leftOver(family: Family, config: Json): readonly string[] | null {
  try {
    const reader = new ConfigReader(config);
    family.readConfig(reader);
    return reader.unread();
  } catch {
    return null; // a value or a missing key that the family cannot do with
  }
}

/** @param wanted the model type or architecture that nobody claims */
export function nearestFamily(families: readonly Family[], config: Json, wanted: string): Nearest {
  const short = wanted.slice(0, 64).toLowerCase();
  const candidates = families.map((family) => {
    const unknownKeys = leftOver(family, config);
    const spelling = (type: string): number => editDistance(short, type);
    const modelType = family.modelTypes.reduce((best, type) => (spelling(type) < spelling(best) ? type : best));
    return { family, modelType, unknownKeys, keys: unknownKeys?.length ?? Infinity, spelling: spelling(modelType) };
  });
  const isCloser = (a: (typeof candidates)[0], b: (typeof candidates)[0]): boolean =>
    a.keys < b.keys || (a.keys === b.keys && a.spelling < b.spelling);
  return candidates.reduce((best, candidate) => (isCloser(candidate, best) ? candidate : best));
}
