/** What a view is: a question, a computation, a figure, and the same as a table. A new view is one file in views/ and one line in index.ts. */
import type { SVGTemplateResult, TemplateResult } from 'lit';
import type { Part } from '../trace/stats/select.ts';
import type { Provenance, Trace } from '../trace/trace.ts';
import type { Brush, Selection } from './brush.ts';
import type { State } from './state.ts';
import type { Table } from './table.ts';

export type { State } from './state.ts';

export type Control =
  | {
      readonly kind: 'choice';
      readonly name: string;
      readonly label: string;
      readonly options: readonly (readonly [value: string, label: string])[];
    }
  | {
      readonly kind: 'range';
      readonly name: string;
      readonly label: string;
      readonly min: number;
      readonly max: number;
      readonly step: number;
      readonly format?: (value: number) => string;
    }
  | { readonly kind: 'toggle'; readonly name: string; readonly label: string }
  | { readonly kind: 'text'; readonly name: string; readonly label: string }
  | { readonly kind: 'action'; readonly label: string; readonly run: () => void; readonly disabled?: boolean };

/** The parts of the shared selection that a view goes by; the element shows a control for each. */
export type Axis = 'phase' | 'chat' | 'layer' | 'token';

export interface Context<S extends State = State> {
  readonly trace: Trace;
  /** The second trace of a comparison. */
  readonly other: Trace | null;
  /** Tokens to strike through. */
  readonly dropped: ReadonlySet<number> | null;
  /** Properties of this view's element alone, by the names in `View.extra`; null where nobody set them. */
  readonly extra: Readonly<Record<string, unknown>>;
  readonly state: S;
  readonly brush: Brush;
  readonly selection: Selection;
  /** Of the trace: what phase, chat and range leave. */
  readonly part: Part;
  /** Room for the figure, in CSS pixels. */
  readonly width: number;
  readonly dark: boolean;
  /** Motion is welcome. */
  readonly motion: boolean;
  set(change: Partial<S>): void;
  /** The line below the figure: what is under the pointer or the cursor. Spoken politely. */
  say(text: string): void;
  /** Draws again, when a view keeps something of its own. */
  redraw(): void;
}

export interface View<D, S extends State = State> {
  /** The title. It ends with a question mark. */
  readonly question: string;
  /** One sentence on how to read the figure. */
  readonly reading: string;
  /** Behind a disclosure: formula, chance level, source. Paragraphs. */
  readonly method: readonly string[];
  /** Numbers are of what was observed: the view says that they are association, not cause. */
  readonly observed?: boolean;
  readonly axes?: readonly Axis[] | ((context: Context<S>) => readonly Axis[]);
  readonly state: S;
  /** Names of further properties that the element has. */
  readonly extra?: readonly string[];
  /** Draws without a trace, too. */
  readonly needsNoTrace?: boolean;
  /** Computed again for another token. */
  readonly perToken?: boolean;
  /** Takes more than a frame on a long trace: while a model answers it is computed twice a second, not at each token. */
  readonly heavy?: boolean;
  controls?(context: Context<S>): readonly Control[];
  /** Where the numbers come from, if not from the trace. */
  provenance?(context: Context<S>): Provenance | null;
  /** What the trace lacks for this view, as a sentence that says how to get it; null: nothing. */
  lacks?(trace: Trace, context: Context<S>): string | null;
  /** Called again when trace, part, layer or state change, not for the token or expert under the cursor. What takes long gives a part after the other. */
  compute(context: Context<S>): D | Promise<D> | AsyncIterable<D>;
  /** The figure proper: `svg.figure` or `canvas.figure` inside is what exports take. */
  figure(data: D, context: Context<S>): TemplateResult | SVGTemplateResult;
  /** One line: sample size and what chance would give. */
  summary(data: D, context: Context<S>): string;
  table(data: D, context: Context<S>): Table;
  /** The element left the page: what it told others by the brush no longer holds. */
  leave?(brush: Brush): void;
}
