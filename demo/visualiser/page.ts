/** The routing page: a trace on top, groups of views on the left, the open group beside them. */
import type { Trace } from '../../src/trace/index.ts';
import type { MoeElement } from '../../src/viz/index.ts';
import { defineTraining } from '../../src/viz/training.ts';
import { button, h } from '../dom.ts';
import { messageOf } from '../message-of.ts';
import { themeButton } from '../theme.ts';
import { Toasts } from '../toasts.ts';
import { addressOf, readAddress, type Address } from './address.ts';
import { GROUPS, type Group } from './groups.ts';
import { holdOnTop } from './hold.ts';
import { LivePanel } from './live-panel.ts';
import { Scene } from './scene.ts';
import { SourceBar } from './source-bar.ts';
import { Tour } from './tour.ts';
import { COUNTS, FIRST_TRACE } from './bundled.ts';
import type { TraceSource } from './share.ts';

export class RoutingPage {
  readonly #scene = new Scene();
  readonly #toasts: Toasts;
  readonly #live = h('div', { class: 'visually-hidden', role: 'status' });
  readonly #views = h('div', { class: 'views' });
  readonly #title = h('h2', { tabindex: -1 });
  readonly #about = h('p', { class: 'muted' });
  readonly #tabs: ReadonlyMap<string, HTMLAnchorElement>;
  readonly #source: SourceBar;
  readonly #panel: LivePanel;
  readonly #tour: Tour;
  readonly #strip: HTMLElement;
  readonly #counts = this.#makeCounts();
  #group: Group = GROUPS[0]!;
  #from: TraceSource | null = null;

  constructor(root: HTMLElement) {
    this.#toasts = new Toasts((text) => (this.#live.textContent = text));
    this.#tabs = new Map(
      GROUPS.map(({ id, title }) => [id, h('a', { href: `#group=${id}`, class: 'tab' }, title)] as const),
    );
    this.#source = new SourceBar({
      onTrace: (trace, source) => this.#open(trace, source),
      onOther: (trace) => this.#scene.compareWith(trace),
      trace: () => this.#scene.trace,
      say: (text, isError) => this.#toasts.show(text, { isError }),
    });
    this.#panel = new LivePanel({
      onTrace: (trace, isNew) => {
        if (!isNew) return this.#scene.grow(trace);
        this.#source.showOwn(trace);
        this.#open(trace, null, true);
      },
      onModel: (runner) => this.#scene.give({ runner }),
      onResidency: (residency) => this.#scene.give({ residency }),
      say: (text, isError) => this.#toasts.show(text, { isError }),
    });
    defineTraining();
    void this.#giveTrainer();
    const tour = button('Tour', 'quiet compact', () => this.#tour.start());
    this.#tour = new Tour({
      go: (group, view) => this.#go(group, view),
      onEnd: () => tour.focus(),
      onAsk: () => this.#panel.focus(),
    });
    this.#strip = this.#makeStrip();
    const nav = h('nav', { 'aria-label': 'Groups of views' }, ...this.#tabs.values());
    root.replaceChildren(
      h(
        'header',
        {},
        h('a', { class: 'brand', href: '../' }, h('span', { class: 'word' }, 'webmoe')),
        h('h1', { class: 'model' }, 'Routing'),
        tour,
        h('a', { class: 'button quiet compact', href: '../' }, 'Chat'),
        themeButton(),
      ),
      h(
        'main',
        { class: 'routing', id: 'main' },
        h('div', { class: 'top' }, this.#source.element, this.#panel.element),
        this.#tour.element,
        this.#strip,
        h('div', { class: 'columns' }, nav, h('section', {}, this.#title, this.#about, this.#views)),
      ),
      this.#toasts.element,
      this.#live,
    );
    this.#source.acceptDrops(root);
  }

  async start(): Promise<void> {
    window.addEventListener('hashchange', () => void this.#follow());
    // What is drawn in pixels takes its colours when it is drawn.
    new MutationObserver(() => this.#scene.redraw()).observe(document.documentElement, {
      attributeFilter: ['data-theme'],
    });
    this.#views.addEventListener('moe-link', (event) => this.#share(event as CustomEvent<string>));
    await this.#follow();
  }

  async #giveTrainer(): Promise<void> {
    try {
      const { trainerFor } = await import('../training/trainer.ts');
      const trainer = trainerFor((trace) => {
        this.#source.showOwn(trace);
        this.#open(trace, null);
        location.hash = 'group=meaning';
      });
      this.#scene.give({ trainer });
    } catch (error) {
      this.#toasts.show(messageOf(error), { isError: true });
    }
  }

  /** The chosen tokens stay in sight while views change. */
  #makeStrip(): HTMLElement {
    const view = this.#scene.fix('moe-token-strip');
    this.#scene.brush.addEventListener('change', () => void showSelected(view));
    return h('div', { class: 'reading-strip' }, view);
  }

  #go(group: Group, view: string): void {
    const hash = addressOf({ kind: 'bundled', id: FIRST_TRACE }, group, view, location.href);
    if (location.hash === hash) void this.#follow();
    else location.hash = hash;
  }

  async #follow(): Promise<void> {
    let address: Address;
    try {
      address = readAddress(location);
    } catch (error) {
      this.#toasts.show(messageOf(error), { isError: true });
      address = { source: null, group: GROUPS[0]!, view: null };
    }
    const { source, group, view } = address;
    this.#show(group);
    if (source && JSON.stringify(source) !== JSON.stringify(this.#from)) await this.#source.open(source);
    if (!this.#scene.trace) await this.#source.open({ kind: 'bundled', id: FIRST_TRACE });
    if (view === null) return;
    const element = this.#scene.view(new URLSearchParams(view).get('view') ?? '');
    if (!element) return;
    element.link = view;
    await this.#scene.ready();
    element.scrollIntoView({ block: 'start' });
    holdOnTop(element, this.#views);
  }

  #show(group: Group): void {
    if (group === this.#group && this.#views.childElementCount > 0) return;
    this.#group = group;
    for (const [id, tab] of this.#tabs) {
      if (id !== group.id) tab.removeAttribute('aria-current');
      else {
        tab.setAttribute('aria-current', 'page');
        // On phones the tabs are a row that scrolls.
        tab.parentElement!.scrollLeft = tab.offsetLeft - 40;
      }
    }
    this.#title.textContent = group.title;
    this.#about.textContent = group.about;
    this.#views.replaceChildren(...this.#scene.mount(group.views));
    if (group.views.includes('moe-domains')) this.#scene.view('moe-domains')?.before(this.#counts);
    document.title = `webmoe: routing, ${group.title.toLowerCase()}`;
  }

  /** Published counts of other models, in place of the trace, for the view that can show them. */
  #makeCounts(): HTMLElement {
    const picker = h(
      'select',
      { id: 'counts', onchange: () => void this.#openCounts(picker.value) },
      h('option', { value: '' }, 'the trace above'),
      ...COUNTS.map(({ id, name }) => h('option', { value: id }, name)),
    );
    return h('p', { class: 'line small' }, h('label', { for: 'counts' }, 'Topics by'), picker);
  }

  async #openCounts(id: string): Promise<void> {
    try {
      const counts = await COUNTS.find((entry) => entry.id === id)?.load();
      this.#scene.give({ counts: counts ?? null });
    } catch (error) {
      this.#toasts.show(messageOf(error), { isError: true });
    }
  }

  #open(trace: Trace, source: TraceSource | null, isLive = false): void {
    if (!isLive) this.#panel.left();
    this.#from = source;
    this.#scene.open(trace, this.#scene.other);
    if (source === null && location.hash.includes('data=')) history.replaceState(null, '', `#group=${this.#group.id}`);
  }

  /** The address brings others to the same picture; a file of the visitor's own cannot be named in one. */
  #share(event: CustomEvent<string>): void {
    event.preventDefault();
    const url = new URL(location.href);
    url.hash = addressOf(this.#from, this.#group, event.detail, location.href);
    const note = this.#from
      ? 'Link copied.'
      : 'Link copied. It cannot bring along a trace of your own: save that and send it, too.';
    void navigator.clipboard.writeText(url.href).then(
      () => this.#toasts.show(note),
      () => this.#toasts.show(url.href),
    );
  }
}

/** The strip scrolls by itself, so that the groups below stay in reach: the selected token is kept in its sight. */
async function showSelected(strip: MoeElement): Promise<void> {
  await strip.updateComplete;
  const token = strip.renderRoot.querySelector('.token.on');
  const box = token?.closest('.body');
  if (!token || !box) return;
  const [inner, outer] = [token.getBoundingClientRect(), box.getBoundingClientRect()];
  if (inner.top < outer.top || inner.bottom > outer.bottom)
    box.scrollTop += inner.top - outer.top - (outer.height - inner.height) / 2;
}
