/** The element around every view: title, controls, figure, table, exports and link in one place, so that a view is only its question and its figure. */
import { html, LitElement, nothing, type PropertyValues, type TemplateResult } from 'lit';
import type { Provenance, Trace } from '../trace/trace.ts';
import { Brush, type Selection } from './brush.ts';
import { withCode } from './code.ts';
import { controlsView } from './controls.ts';
import { pngFile, save, svgFile } from './export.ts';
import { linkOf, selectionFrom, stateFrom } from './link.ts';
import { LIVE_MS, Pace } from './pace.ts';
import { styles } from './styles.ts';
import { csvOf, tableView } from './table.ts';
import type { MoeElement } from './moe-element.ts';
import type { State } from './state.ts';
import type { Context, View } from './view.ts';
import { messageOf } from './words.ts';

const PROVENANCE: Readonly<Record<Provenance['kind'], string>> = {
  live: 'live model',
  recorded: 'recorded trace',
  published: 'published data',
  simulation: 'simulation',
};
/** While a model answers, heavy views are computed this often. */
const HEAVY_MS = 500;
const DEFAULT_WIDTH = 640;
const dark = globalThis.matchMedia?.('(prefers-color-scheme: dark)');
const still = globalThis.matchMedia?.('(prefers-reduced-motion: reduce)');

/** Common to all elements of webmoe/viz. */
abstract class ViewElement<D, S extends State> extends LitElement implements MoeElement {
  static override styles = styles;
  static override properties = {
    trace: { attribute: false },
    other: { attribute: false },
    dropped: { attribute: false },
    brush: { attribute: false },
    state: { attribute: false },
    width: { state: true },
    data: { state: true },
    problem: { state: true },
    showsTable: { state: true },
  };

  /** The code of a view comes when its element is first used: a page pays for the views that it shows. */
  protected abstract load(): Promise<View<D, S>>;

  declare trace: Trace | null;
  declare other: Trace | null;
  declare dropped: ReadonlySet<number> | null;
  declare brush: Brush;
  declare state: S;
  declare width: number;
  declare data: D | null;
  declare problem: string | null;
  declare showsTable: boolean;
  #view: View<D, S> | null = null;
  #loading: Promise<void> | null = null;
  /** A link that was set before the view was there. */
  #wanted: string | null = null;
  #computedFor: readonly unknown[] = [];
  #computedAt = 0;
  readonly #pace = new Pace(this, () => this.requestUpdate());
  readonly #watchSize = globalThis.ResizeObserver ? new ResizeObserver(([entry]) => this.#resized(entry!)) : null;
  readonly #onSelect = (): void => this.requestUpdate();
  readonly #onTheme = (): void => this.requestUpdate();

  constructor() {
    super();
    this.trace = null;
    this.other = null;
    this.dropped = null;
    this.brush = new Brush();
    this.width = DEFAULT_WIDTH;
    this.data = null;
    this.problem = null;
    this.showsTable = false;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.#loading ??= this.#load();
    this.#watchSize?.observe(this);
    this.#pace.start();
    this.brush.addEventListener('change', this.#onSelect);
    dark?.addEventListener('change', this.#onTheme);
  }

  async #load(): Promise<void> {
    try {
      const view = (this.#view = await this.load());
      this.state ??= view.state;
      if (this.#wanted !== null) this.link = this.#wanted;
    } catch (error) {
      this.#loading = null; // the next use tries again
      this.problem = messageOf(error);
    }
    this.requestUpdate();
  }

  /** What an update waits for includes the code. */
  protected override async getUpdateComplete(): Promise<boolean> {
    await this.#loading;
    return super.getUpdateComplete();
  }

  /** Only after it was loaded. */
  get #shown(): View<D, S> {
    return this.#view!;
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#watchSize?.disconnect();
    this.#view?.leave?.(this.brush);
    this.brush.removeEventListener('change', this.#onSelect);
    dark?.removeEventListener('change', this.#onTheme);
    this.#pace.stop();
  }

  get link(): string {
    const { selection } = this.brush;
    return linkOf({ view: this.localName, state: this.state ?? {}, selection }, this.#view?.state ?? {});
  }

  set link(fragment: string) {
    const query = new URLSearchParams(fragment);
    this.#wanted = this.#view ? null : fragment;
    if (this.#view) this.state = stateFrom(query, this.#view.state) as S;
    this.brush.select(selectionFrom(query));
  }

  get csv(): string | null {
    const trace = this.#shownTrace;
    return this.data === null || !trace ? null : csvOf(this.#shown.table(this.data, this.#context(trace)));
  }

  /** What a visitor does is drawn at once; what a model adds can wait. */
  protected override shouldUpdate(changed: PropertyValues<this>): boolean {
    const isGrowth = changed.size === 1 && changed.has('trace') && this.trace?.provenance?.kind === 'live';
    return !isGrowth || this.data === null || this.#pace.isDue(LIVE_MS);
  }

  override updated(): void {
    this.#pace.drawn();
  }

  override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('brush')) {
      changed.get('brush')?.removeEventListener('change', this.#onSelect);
      this.brush.addEventListener('change', this.#onSelect);
    }
    if (!this.#view) return;
    const trace = this.#shownTrace;
    if (!trace) {
      this.data = null;
      this.#computedFor = [];
      return;
    }
    const context = this.#context(trace);
    const lack = this.#shown.lacks?.(trace, context) ?? null;
    this.problem = lack;
    if (lack !== null) this.data = null;
    else this.#compute(context);
  }

  #compute(context: Context<S>): void {
    const { phase, chat, range, layer, token } = context.selection;
    const of = this.#shown.perToken ? token : null;
    const extra = Object.values(context.extra);
    const needs = [this.trace, this.other, this.state, phase, chat, String(range), layer, of, ...extra];
    if (needs.every((need, i) => need === this.#computedFor[i]) && needs.length === this.#computedFor.length) return;
    const wait = this.#shown.heavy && this.data !== null ? HEAVY_MS - (performance.now() - this.#computedAt) : 0;
    const onlyGrew = needs.slice(1).every((need, i) => need === this.#computedFor[i + 1]);
    if (wait > 0 && onlyGrew) {
      this.#pace.drawIn(wait);
      return;
    }
    this.#computedFor = needs;
    this.#computedAt = performance.now();
    const made = this.#shown.compute(context);
    if (made instanceof Promise || isParts(made)) void this.#arrives(made, needs);
    else this.data = made;
  }

  async #arrives(made: Promise<D> | AsyncIterable<D>, needs: readonly unknown[]): Promise<void> {
    try {
      for await (const data of isParts(made) ? made : [made]) {
        if (needs !== this.#computedFor) return;
        this.data = data;
      }
    } catch (error) {
      if (needs === this.#computedFor) this.problem = messageOf(error);
    }
  }

  get #shownTrace(): Trace | null {
    return this.trace ?? (this.#view?.needsNoTrace ? NO_TRACE : null);
  }

  #context(trace: Trace): Context<S> {
    return {
      trace,
      other: this.other,
      dropped: this.dropped ?? this.brush.dropped,
      extra: Object.fromEntries((this.#shown.extra ?? []).map((name) => [name, this.#own(name)])),
      state: this.state,
      brush: this.brush,
      selection: withinTrace(this.brush.selection, trace),
      part: this.brush.part,
      width: this.width,
      dark: this.#isDark(),
      motion: !still?.matches,
      set: (change) => {
        this.state = { ...this.state, ...change };
      },
      say: (text) => this.#say(text),
      redraw: () => this.requestUpdate(),
    };
  }

  #own(name: string): unknown {
    return (this as unknown as Readonly<Record<string, unknown>>)[name] ?? null;
  }

  /** By what the page made of it, not by the system alone. */
  #isDark(): boolean {
    const scheme = getComputedStyle(this).colorScheme;
    return scheme === 'dark' || (scheme !== 'light' && (dark?.matches ?? false));
  }

  #say(text: string): void {
    const line = this.renderRoot.querySelector('output');
    if (line && line.textContent !== text) line.textContent = text;
  }

  #resized({ contentRect }: ResizeObserverEntry): void {
    const width = Math.floor(contentRect.width) - 2 * PADDING;
    if (width > 0 && Math.abs(width - this.width) > 1) this.width = Math.max(MIN_WIDTH, width);
  }

  override render(): TemplateResult {
    if (!this.#view) return html`<section><p class="empty" role="status">${this.problem ?? 'Loading…'}</p></section>`;
    const { question, reading, observed } = this.#shown;
    const trace = this.#shownTrace;
    const context = trace && this.#context(trace);
    return html`<section aria-labelledby="title">
      <header>
        <h3 id="title">${question}</h3>
        ${provenanceView(context && this.#shown.provenance ? this.#shown.provenance(context) : trace?.provenance)}
      </header>
      <p class="reading">${reading}${observed ? ' What is observed is association, not cause.' : ''}</p>
      ${context ? controlsView(this.#shown, context) : nothing}
      <div class="body">${this.#body(context)}</div>
      <output aria-live="polite"></output>
      ${context && this.data !== null ? this.#foot(this.data, context) : nothing}
    </section>`;
  }

  #body(context: Context<S> | null): TemplateResult {
    if (!context) return html`<p class="empty">No trace yet. Open one, or let the model answer.</p>`;
    if (this.problem !== null) return html`<p class="empty" role="status">${withCode(this.problem)}</p>`;
    if (this.data === null) return html`<p class="empty" role="status">Computing…</p>`;
    return this.showsTable
      ? tableView(this.#shown.table(this.data, context))
      : (this.#shown.figure(this.data, context) as TemplateResult);
  }

  #foot(data: D, context: Context<S>): TemplateResult {
    return html`<p class="summary">${withCode(this.#shown.summary(data, context))}</p>
      <footer>
        <details>
          <summary>How it is computed</summary>
          ${this.#shown.method.map((paragraph) => html`<p>${paragraph}</p>`)}
        </details>
        <div class="tools" role="group" aria-label="This view as">
          <button type="button" aria-pressed=${this.showsTable} @click=${() => (this.showsTable = !this.showsTable)}>
            Table
          </button>
          <button type="button" @click=${() => save(`${this.localName}.csv`, this.csv ?? '', 'text/csv')}>CSV</button>
          ${
            this.showsTable
              ? nothing
              : html`<button type="button" @click=${() => void this.#savePicture('png')}>PNG</button>
                  <button type="button" @click=${() => void this.#savePicture('svg')}>SVG</button>`
          }
          <button type="button" @click=${() => this.#offerLink()}>Link</button>
        </div>
      </footer>`;
  }

  async #savePicture(kind: 'png' | 'svg'): Promise<void> {
    const figure = this.renderRoot.querySelector('.figure');
    if (!figure) return this.#say('This view has no picture now; its table and CSV have the numbers.');
    if (figure instanceof HTMLCanvasElement) {
      if (kind === 'png') save(`${this.localName}.png`, await pngFile(figure));
      else this.#say('This figure is drawn in pixels: take the PNG.');
      return;
    }
    const background = getComputedStyle(this.renderRoot.querySelector('section')!).backgroundColor;
    const picture = svgFile([...this.renderRoot.querySelectorAll<SVGSVGElement>('svg.figure')], background);
    if (kind === 'svg') save(`${this.localName}.svg`, picture.text, 'image/svg+xml');
    else save(`${this.localName}.png`, await pngFile(picture));
  }

  /** The page may put it into an address of its own (`preventDefault`); else it is copied with this page's address. */
  #offerLink(): void {
    const event = new CustomEvent('moe-link', { detail: this.link, bubbles: true, composed: true, cancelable: true });
    if (!this.dispatchEvent(event)) return;
    const url = new URL(location.href);
    url.hash = this.link;
    void navigator.clipboard.writeText(url.href).then(
      () => this.#say('Link copied.'),
      () => this.#say(url.href),
    );
  }
}

/** Of views that need none. */
const NO_TRACE: Trace = {
  model: { name: '', layers: 1, experts: 1, topK: 1, expertBytes: [1] },
  steps: [],
  ids: new Uint16Array(0),
  weights: null,
  origins: null,
  provenance: { kind: 'simulation', note: 'No model runs here.' },
};

const isParts = <D>(made: D | Promise<D> | AsyncIterable<D>): made is AsyncIterable<D> =>
  typeof made === 'object' && made !== null && Symbol.asyncIterator in made;

const PADDING = 16;
/** Narrower, figures scroll. */
const MIN_WIDTH = 280;

function provenanceView(from: Provenance | null | undefined): TemplateResult | typeof nothing {
  if (!from) return nothing;
  const facts = [from.note, from.weights && `weights ${from.weights}`, from.date?.slice(0, 10), from.version];
  return html`<span class="badge ${from.kind}" title=${facts.filter(Boolean).join(' · ')}
    >${PROVENANCE[from.kind]}</span
  >`;
}

/** A selection made on another trace must not point outside this one. */
function withinTrace(selection: Selection, { model, ids }: Trace): Selection {
  const tokens = ids.length / (model.layers * model.topK);
  const inside = (n: number | null, end: number): number | null => (n !== null && n < end ? n : null);
  return {
    ...selection,
    layer: Math.min(selection.layer, model.layers - 1),
    expert: inside(selection.expert, model.experts),
    token: inside(selection.token, tokens),
    pinned: inside(selection.pinned, tokens),
  };
}

/**
 * Makes the element of a view. Registering a name twice (two copies of the package in a page) keeps the first.
 * @param extra names of properties that this element has beside the common ones: `View.extra`
 */
export function defineView<D, S extends State>(
  name: string,
  load: () => Promise<View<D, S>>,
  extra: readonly string[] = [],
): void {
  if (typeof customElements === 'undefined' || customElements.get(name)) return;
  customElements.define(
    name,
    class extends ViewElement<D, S> {
      static override properties = {
        ...ViewElement.properties,
        ...Object.fromEntries(extra.map((property) => [property, { attribute: false }])),
      };
      protected override load = load;
    },
  );
}
