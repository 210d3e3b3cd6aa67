/** What the page's address says: which trace, which group of views, and the exact state of one view. All of it stays in the fragment. */
import { groupOf, groupWith, type Group } from './groups.ts';
import { fromTraceLink, toTraceLink, type TraceSource } from './share.ts';

export interface Address {
  /** null: the trace that is open, whatever it is. */
  readonly source: TraceSource | null;
  readonly group: Group;
  /** As `MoeElement.link` gives it. */
  readonly view: string | null;
}

/** @throws LinkError for a link that cannot be followed */
export function readAddress({ hash, href }: Pick<Location, 'hash' | 'href'>): Address {
  const shared = fromTraceLink(hash, href);
  const plain = new URLSearchParams(hash.replace(/^#/, ''));
  const { group, view } = shared?.view ?? { group: plain.get('group'), view: null };
  const element = view ? groupWith(new URLSearchParams(view).get('view') ?? '') : null;
  return {
    source: shared?.source ?? null,
    group: element ?? groupOf(group ?? null),
    view: element ? (view ?? null) : null,
  };
}

/** @param source null: a trace that no link can name */
export function addressOf(source: TraceSource | null, group: Group, view: string | null, page: string): string {
  if (source === null) return `#group=${group.id}`;
  return toTraceLink({ source, view: { group: group.id, ...(view !== null && { view }) } }, page);
}
