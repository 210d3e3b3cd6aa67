/** What is selected: one brush shared by several views links them. (layer, expert) is the unit: an expert's number means nothing without its layer. */
import type { Part } from '../trace/stats/select.ts';

export interface Selection {
  /** Prompt and answer are kept apart; null: both. */
  readonly phase: 'prefill' | 'decode' | null;
  /** One conversation; null: all. */
  readonly chat: number | null;
  /** First and past-the-last token of a brushed range. */
  readonly range: readonly [from: number, to: number] | null;
  readonly layer: number;
  readonly expert: number | null;
  /** Index in the trace; null: the last one there is. */
  readonly token: number | null;
  /** A second token to compare with. */
  readonly pinned: number | null;
}

export const NOTHING_SELECTED: Selection = {
  phase: null,
  chat: null,
  range: null,
  layer: 0,
  expert: null,
  token: null,
  pinned: null,
};

/** Fires `change`. */
export class Brush extends EventTarget {
  #selection = NOTHING_SELECTED;
  #dropped: ReadonlySet<number> | null = null;

  /** Tokens that views of text strike through, as the capacity view asks for; null: none. */
  get dropped(): ReadonlySet<number> | null {
    return this.#dropped;
  }

  set dropped(tokens: ReadonlySet<number> | null) {
    if (tokens === this.#dropped) return;
    this.#dropped = tokens;
    this.dispatchEvent(new Event('change'));
  }

  get selection(): Selection {
    return this.#selection;
  }

  select(change: Partial<Selection>): void {
    const next = { ...this.#selection, ...change };
    if (JSON.stringify(next) === JSON.stringify(this.#selection)) return;
    this.#selection = next;
    this.dispatchEvent(new Event('change'));
  }

  /** Which tokens of a trace statistics are taken over. */
  get part(): Part {
    const { phase, chat, range } = this.#selection;
    return {
      ...(phase && { phase }),
      ...(chat !== null && { chat }),
      ...(range && { from: range[0], to: range[1] }),
    };
  }
}
