/** A context for computing and tabulating a view in Node, without an element around it. */
import type { Trace } from '../../src/trace/trace.ts';
import { Brush, type Selection } from '../../src/viz/brush.ts';
import type { Context, State, View } from '../../src/viz/view.ts';

export function contextOf<D, S extends State>(
  view: View<D, S>,
  trace: Trace,
  {
    state = {},
    selection = {},
    extra = {},
  }: {
    readonly state?: Partial<S>;
    readonly selection?: Partial<Selection>;
    readonly extra?: Readonly<Record<string, unknown>>;
  } = {},
): Context<S> {
  const brush = new Brush();
  brush.select(selection);
  return {
    trace,
    other: null,
    dropped: null,
    extra,
    state: { ...view.state, ...state },
    brush,
    selection: brush.selection,
    part: brush.part,
    width: 640,
    dark: false,
    motion: false,
    set: () => undefined,
    say: () => undefined,
    redraw: () => undefined,
  };
}
