/** Where counts by domain come from: the chats of a trace, or a table that somebody published. */
import type { Measured } from '../../trace/stats/chance.ts';
import { distanceOf, domainNames, domainPart, domainsOf } from '../../trace/stats/domains.ts';
import { countsFrom, countsOf, type LayerCounts, type Part } from '../../trace/stats/select.ts';
import type { Provenance, Trace } from '../../trace/trace.ts';

/** Published counts: how often each expert was chosen, by kind of text. */
export interface DomainCounts {
  readonly model: { readonly name: string; readonly experts: number; readonly topK: number };
  /** Which layers of the model were counted, [C]. */
  readonly layers: readonly number[];
  readonly domains: readonly string[];
  /** [D, C, E] */
  readonly counts: ArrayLike<number>;
  readonly provenance?: Provenance | null;
}

export interface DomainSource {
  readonly names: readonly string[];
  /** Of each domain. */
  readonly counts: readonly LayerCounts[];
  /** Everything but one domain. */
  readonly others: (domain: number) => LayerCounts;
  /** [domains, domains] of one layer. */
  readonly distances: (layer: number) => readonly (readonly Measured[])[];
  /** What `n` of a distance counts, and what its band is. */
  readonly null: string;
}

export function traceSource(trace: Trace, part: Part): DomainSource {
  const { phase } = part;
  const whole: Part = phase ? { phase } : {};
  const domains = domainNames(trace, whole);
  const of = (names: readonly (string | null)[]): LayerCounts => {
    const chats = names.flatMap((name) => domainPart(trace, name, whole).chats ?? []);
    return countsOf(trace, { ...whole, chats });
  };
  return {
    names: domains.map((name) => name ?? 'no domain'),
    counts: domains.map((name) => of([name])),
    others: (domain) => of(domains.filter((_, d) => d !== domain)),
    distances: (layer) => domainsOf(trace, layer, whole)?.distance ?? [],
    null: 'chats shuffled among domains 1,000 times',
  };
}

export function tableSource({ model: { experts, topK }, layers, domains, counts }: DomainCounts): DomainSource {
  /** Of all domains that `isIn` takes, added up. */
  const of = (isIn: (domain: number) => boolean): LayerCounts => {
    const taken = domains.map((_, d) => d).filter(isIn);
    const at = (d: number, l: number, e: number): number => counts[(d * layers.length + l) * experts + e]!;
    const row = (l: number): number[] =>
      Array.from({ length: experts }, (_, e) => taken.reduce((sum, d) => sum + at(d, l, e), 0));
    return countsFrom(
      layers.map((_, l) => row(l)),
      topK,
    );
  };
  const each = domains.map((_, d) => of((other) => other === d));
  return {
    names: domains,
    counts: each,
    others: (domain) => of((other) => other !== domain),
    distances: (layer) => each.map((a) => each.map((b) => distanceOf(a, b, layer))),
    null: 'two samples of as many independent tokens of one text; tokens of real texts are not independent, so that it is too narrow',
  };
}
