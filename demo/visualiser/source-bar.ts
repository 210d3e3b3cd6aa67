/** Which trace is shown: a bundled one, a file, or the model that answers; what it holds; and the same as a file. */
import { openTrace, tokensOf, writeTrace, type Trace } from '../../src/trace/index.ts';
import { saveFile } from '../conversations/save-file.ts';
import { button, h } from '../dom.ts';
import { messageOf } from '../message-of.ts';
import { onFilesDropped } from '../drops.ts';
import { formatCount } from '../format.ts';
import { TRACES } from './bundled.ts';
import { openFile } from './open-file.ts';
import { fetchTrace, foreignSite, type TraceSource } from './share.ts';

export interface SourceEvents {
  /** @param source how a link can name it; null: a file of the visitor's */
  readonly onTrace: (trace: Trace, source: TraceSource | null) => void;
  readonly onOther: (trace: Trace | null) => void;
  readonly trace: () => Trace | null;
  readonly say: (text: string, isError: boolean) => void;
}

const FILES = '.npz,.npy,.json,.csv';
const NOTHING = '';

export class SourceBar {
  readonly element: HTMLElement;
  readonly #events: SourceEvents;
  readonly #picker: HTMLSelectElement;
  readonly #otherPicker: HTMLSelectElement;
  /** A trace that does not come with the page. */
  readonly #own = h('option', { value: NOTHING, hidden: true });
  readonly #facts = h('p', { class: 'muted holds' });
  readonly #note = h('p', {});
  readonly #origin = h(
    'details',
    { class: 'small', hidden: true },
    h('summary', {}, 'Where it comes from'),
    this.#note,
  );
  readonly #file = h('input', { type: 'file', accept: FILES, hidden: true, 'aria-label': 'A trace' });
  /** The last asked for wins. */
  #asked = 0;

  constructor(events: SourceEvents) {
    this.#events = events;
    this.#picker = h(
      'select',
      { id: 'trace', onchange: () => void this.open({ kind: 'bundled', id: this.#picker.value }) },
      this.#own,
      ...TRACES.map(({ id, name }) => h('option', { value: id }, name)),
    );
    this.#otherPicker = h(
      'select',
      { id: 'other', onchange: () => void this.#openOther(this.#otherPicker.value) },
      h('option', { value: NOTHING }, 'nothing'),
      ...TRACES.map(({ id, name }) => h('option', { value: id }, name)),
    );
    this.#file.addEventListener('change', () => {
      const [file] = this.#file.files ?? [];
      if (file) void this.#openFile(file);
      this.#file.value = '';
    });
    this.element = h(
      'section',
      { class: 'source', 'aria-label': 'Trace' },
      h(
        'div',
        { class: 'line' },
        h('span', { class: 'pair' }, h('label', { for: 'trace' }, 'Trace'), this.#picker),
        h('span', { class: 'pair' }, h('label', { for: 'other' }, 'Compare with'), this.#otherPicker),
        h(
          'span',
          { class: 'pair' },
          button('Open a file', 'quiet compact', () => this.#file.click()),
          button('Save', 'quiet compact', () => this.#save()),
        ),
        this.#file,
      ),
      this.#facts,
      this.#origin,
    );
  }

  acceptDrops(element: HTMLElement): void {
    onFilesDropped(element, ({ files }) => {
      if (files[0]) void this.#openFile(files[0]);
    });
  }

  /** @returns whether it is open now; why not was said */
  async open(source: TraceSource): Promise<boolean> {
    if (source.kind === 'url' && !this.#mayFetch(source.url)) return false;
    const load = (): Promise<Trace> => (source.kind === 'url' ? fromAddress(source.url) : bundled(source.id));
    return this.#load(load, (trace) => {
      if (source.kind === 'url') this.#own.textContent = `from ${new URL(source.url).host}`;
      this.#picker.value = source.kind === 'bundled' ? source.id : NOTHING;
      this.#shown(trace);
      this.#events.onTrace(trace, source);
    });
  }

  /** A link must not make the page ask another site without its visitor's word. */
  #mayFetch(url: string): boolean {
    const site = foreignSite(url, location.href);
    return site === null || confirm(`This link opens a trace from ${site}. Fetch it from there?`);
  }

  async #openOther(id: string): Promise<void> {
    if (id === NOTHING) this.#events.onOther(null);
    else
      await this.#load(
        () => bundled(id),
        (trace) => this.#events.onOther(trace),
      );
  }

  async #load(load: () => Promise<Trace>, use: (trace: Trace) => void): Promise<boolean> {
    const asked = ++this.#asked;
    this.#facts.textContent = 'Opening…';
    try {
      const loaded = await load();
      if (asked !== this.#asked) return false;
      use(loaded);
      return true;
    } catch (error) {
      this.#events.say(messageOf(error), true);
      return false;
    } finally {
      const trace = this.#events.trace();
      if (trace) this.#shown(trace);
      else this.#facts.textContent = '';
    }
  }

  async #openFile(file: File): Promise<void> {
    await this.#load(
      () => openFile(file),
      (trace) => {
        this.showOwn(trace);
        this.#events.onTrace(trace, null);
      },
    );
  }

  /** The trace is no bundled one. */
  showOwn(trace: Trace): void {
    this.#own.textContent = trace.provenance?.kind === 'live' ? 'the live model' : 'a file of yours';
    this.#picker.value = NOTHING;
    this.#shown(trace);
  }

  #shown({ model, steps, chats, provenance }: Trace): void {
    const parts = [
      model.name,
      `${model.layers} MoE layers, ${model.topK} of ${model.experts} experts each`,
      provenance?.kind === 'live' ? null : `${formatCount(tokensOf(steps))} tokens`,
      chats && chats.length > 1 ? `${chats.length} chats` : null,
    ];
    this.#note.textContent = provenance?.note ?? '';
    this.#origin.hidden = !provenance?.note;
    this.#facts.textContent = parts.filter(Boolean).join(' · ');
  }

  #save(): void {
    const trace = this.#events.trace();
    if (!trace) return this.#events.say('There is no trace to save yet.', false);
    const name = trace.model.name.replace(/[^\w.-]+/g, '-').slice(0, 60) || 'trace';
    saveFile(`${name}.npz`, new Uint8Array(writeTrace(trace)), 'application/zip');
  }
}

async function bundled(id: string): Promise<Trace> {
  const entry = TRACES.find((one) => one.id === id);
  if (!entry) throw new Error(`This page has no trace of the name ${id.slice(0, 60)}.`);
  return entry.load();
}

async function fromAddress(url: string): Promise<Trace> {
  const name = new URL(url).pathname.split('/').at(-1) ?? url;
  const trace = openTrace(await fetchTrace(url), name);
  const note = `${trace.provenance?.note ?? 'A recorded trace'} (from ${new URL(url).host})`;
  return { ...trace, provenance: { kind: 'recorded', ...trace.provenance, note } };
}
