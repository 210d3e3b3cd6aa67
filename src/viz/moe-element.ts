/** What pages see of every element of webmoe/viz. */
import type { Trace } from '../trace/trace.ts';
import type { Brush } from './brush.ts';
import type { State } from './state.ts';

/** Its attributes are those of any element; all that is its own are properties. */
export interface MoeElement extends HTMLElement {
  /** What is drawn; null: nothing yet. Give a new object for a trace that grew. */
  trace: Trace | null;
  /** A second trace, for views that compare. */
  other: Trace | null;
  /** Tokens to strike through, as those that a capacity limit would drop. */
  dropped: ReadonlySet<number> | null;
  /** Shared by views that select together. */
  brush: Brush;
  /** Of the controls; undefined until the view's code has come. */
  state: State;
  /** The view's exact state, for the fragment of a link. */
  link: string;
  /** What the figure shows, as rows (RFC 4180); null before there is a figure. */
  readonly csv: string | null;
  /** Where it draws: its shadow root. */
  readonly renderRoot: HTMLElement | DocumentFragment;
  /** Draws again soon, after what an element cannot see: the page's `color-scheme` changed. */
  requestUpdate(): void;
  /** Settles when what was set so far is drawn, but for what is computed over several frames. */
  readonly updateComplete: Promise<boolean>;
}
