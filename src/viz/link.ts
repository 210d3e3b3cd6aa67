/** The exact state of a view as text for the fragment of a link: it never leaves the browser. */
import { NOTHING_SELECTED, type Selection } from './brush.ts';
import type { State } from './state.ts';

export interface ViewLink {
  /** The element's name. */
  readonly view: string;
  readonly state: State;
  readonly selection: Selection;
}

/** `view=moe-heatmap&as=share&layer=3`: what differs from the start only. */
export function linkOf({ view, state, selection }: ViewLink, initial: State): string {
  const query = new URLSearchParams({ view });
  for (const [name, value] of Object.entries(state)) if (value !== initial[name]) query.set(`s.${name}`, String(value));
  for (const [name, value] of Object.entries(selection))
    if (value !== null && value !== NOTHING_SELECTED[name as keyof Selection]) query.set(name, String(value));
  return query.toString();
}

/** Values that make no sense are left out: a link is a stranger's text. */
export function stateFrom(query: URLSearchParams, initial: State): State {
  const state: Record<string, State[string]> = {};
  for (const [name, start] of Object.entries(initial)) {
    const text = query.get(`s.${name}`);
    state[name] = text === null ? start : likeStart(text, start);
  }
  return state;
}

function likeStart(text: string, start: State[string]): State[string] {
  if (typeof start === 'boolean') return text === 'true';
  if (typeof start === 'string') return text.slice(0, 200);
  const number = Number(text);
  return text !== '' && Number.isFinite(number) ? number : start;
}

export function selectionFrom(query: URLSearchParams): Selection {
  const index = (name: string): number | null => {
    const text = query.get(name);
    return text !== null && /^\d{1,9}$/.test(text) ? Number(text) : null;
  };
  const phase = query.get('phase');
  const [from, to] = (query.get('range') ?? '').split(',');
  const isRange = from !== undefined && to !== undefined && /^\d{1,9}$/.test(from) && /^\d{1,9}$/.test(to);
  return {
    phase: phase === 'prefill' || phase === 'decode' ? phase : null,
    chat: index('chat'),
    range: isRange ? [Number(from), Number(to)] : null,
    layer: index('layer') ?? 0,
    expert: index('expert'),
    token: index('token'),
    pinned: index('pinned'),
  };
}
