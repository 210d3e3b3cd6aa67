/** How often experts were taken by texts of several kinds, added up: what papers publish where nobody keeps a trace. */
import { InvalidTrace } from '../errors.ts';
import { PROVENANCES, type Provenance } from './trace.ts';

export interface CountsTable {
  readonly model: {
    readonly name: string;
    readonly experts: number; // E
    readonly topK: number; // K
  };
  /** MoE layers that were counted, by their number in the model, [C]. */
  readonly layers: readonly number[];
  /** Kinds of text, [D]. */
  readonly domains: readonly string[];
  /** How many tokens took each expert, [D, C, E]. */
  readonly counts: Uint32Array;
  readonly pairs: CountedPairs | null;
  readonly topTokens: TopTokens | null;
  readonly provenance: Provenance;
}

/** How often an expert of one layer was followed by one of a later layer. */
export interface CountedPairs {
  /** Numbers of the two layers, [P]. */
  readonly layers: readonly (readonly [number, number])[];
  /** [D, P, E, E]: the expert of the first layer, then that of the second. */
  readonly counts: Uint32Array;
}

/** The tokens that each expert took most often. Their ids are the model's; without its tokenizer nobody can say what they read as. */
export interface TopTokens {
  readonly most: number; // M
  /** [D, C, E, M, 2]: token id and count, by falling count; -1 where there are fewer, or nobody published them. */
  readonly entries: Int32Array;
}

/** E of any model; D x C x E x E stays a size that a page can hold. */
const MOST_EXPERTS = 1024;
const MOST_DOMAINS = 64;
const LONGEST_NAME = 200;

/** @throws InvalidTrace that says which part contradicts which */
export function checkCounts(table: CountsTable, where = 'counts'): CountsTable {
  const refuse = (what: string): never => {
    throw new InvalidTrace(`${where}: ${what}`, { where });
  };
  const { model, layers, domains, counts, pairs, topTokens, provenance } = table;
  const { name, experts, topK } = model;
  const isName = (text: unknown): boolean => typeof text === 'string' && text.length <= LONGEST_NAME;
  const isLayer = (n: unknown): boolean => Number.isInteger(n) && (n as number) >= 0;
  if (
    !Number.isInteger(experts) ||
    experts < 1 ||
    experts > MOST_EXPERTS ||
    !Number.isInteger(topK) ||
    topK < 1 ||
    topK > experts
  )
    refuse(`${experts} experts, ${topK} a token is no MoE model`);
  if (!isName(name) || !domains.every(isName) || domains.length > MOST_DOMAINS) refuse('its names must be short texts');
  if (!layers.every(isLayer) || new Set(layers).size !== layers.length) refuse('its layers must be different numbers');
  const size = domains.length * layers.length * experts;
  if (counts.length !== size) refuse(`it should hold ${size} counts, has ${counts.length}`);
  if (pairs && !pairs.layers.every((pair) => pair.length === 2 && pair.every(isLayer)))
    refuse('its pairs must be of two layers each');
  if (pairs && pairs.counts.length !== domains.length * pairs.layers.length * experts ** 2)
    refuse('the counts of its pairs do not fit');
  if (topTokens && topTokens.entries.length !== size * topTokens.most * 2) refuse('its top tokens do not fit');
  if (!PROVENANCES.includes(provenance.kind) || typeof provenance.note !== 'string')
    refuse('it must say where its counts come from');
  return table;
}
