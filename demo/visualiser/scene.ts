/** What is looked at: a trace, maybe a second one, and one selection that all views share. */
import { tokensOf, type Trace } from '../../src/trace/index.ts';
import { Brush, type MoeElement } from '../../src/viz/index.ts';

/** Properties that only some elements have. */
export interface Extras {
  readonly counts?: unknown;
  readonly residency?: unknown;
  readonly runner?: unknown;
  readonly trainer?: unknown;
}

export class Scene {
  readonly brush = new Brush();
  #trace: Trace | null = null;
  #other: Trace | null = null;
  #extras: Extras = {};
  #mounted: readonly MoeElement[] = [];
  #fixed: readonly MoeElement[] = [];
  /** States of views that were left, so that they come back as they were. */
  readonly #states = new Map<string, MoeElement['state']>();

  get trace(): Trace | null {
    return this.#trace;
  }

  get other(): Trace | null {
    return this.#other;
  }

  /** Another trace: what was selected in the old one means nothing. A live one is followed to its end; of another the first answer is looked at. */
  open(trace: Trace, other: Trace | null = null): void {
    const token = trace.provenance?.kind === 'live' ? null : firstAnswered(trace);
    this.brush.select({ chat: null, range: null, token, pinned: null, expert: null, phase: null });
    this.#other = other;
    this.grow(trace);
  }

  /** The same trace, with more tokens. */
  grow(trace: Trace): void {
    this.#trace = trace;
    this.#all.forEach((view) => this.#fill(view));
  }

  compareWith(other: Trace | null): void {
    this.#other = other;
    this.#all.forEach((view) => this.#fill(view));
  }

  give(extras: Extras): void {
    this.#extras = { ...this.#extras, ...extras };
    this.#all.forEach((view) => this.#fill(view));
  }

  /** Every view has its code and has drawn once: heights change less from here on. */
  async ready(): Promise<void> {
    await Promise.all(this.#all.map((view) => view.updateComplete));
  }

  redraw(): void {
    this.#all.forEach((view) => view.requestUpdate());
  }

  /** An element that stays while groups change. */
  fix(name: string): MoeElement {
    const view = this.#make(name);
    this.#fixed = [...this.#fixed, view];
    return view;
  }

  #make(name: string): MoeElement {
    const view = document.createElement(name) as MoeElement;
    view.id = name;
    view.brush = this.brush;
    return view;
  }

  get #all(): readonly MoeElement[] {
    return [...this.#fixed, ...this.#mounted];
  }

  /** Elements of these names, in place of those before. */
  mount(names: readonly string[]): readonly MoeElement[] {
    for (const view of this.#mounted) this.#states.set(view.localName, view.state);
    this.#mounted = names.map((name) => {
      const view = this.#make(name);
      const state = this.#states.get(name);
      if (state) view.state = state;
      return view;
    });
    this.#mounted.forEach((view) => this.#fill(view));
    return this.#mounted;
  }

  view(name: string): MoeElement | null {
    return this.#all.find(({ localName }) => localName === name) ?? null;
  }

  #fill(view: MoeElement): void {
    for (const [name, value] of Object.entries(this.#extras))
      if (name in view) (view as unknown as Record<string, unknown>)[name] = value;
    view.other = this.#other;
    view.trace = this.#trace;
  }
}

/** null: a trace without answers. */
function firstAnswered({ steps }: Trace): number | null {
  const answer = steps.findIndex(({ phase }) => phase === 'decode');
  return answer < 0 ? null : tokensOf(steps.slice(0, answer));
}
