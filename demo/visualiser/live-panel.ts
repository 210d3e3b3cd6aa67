/** Load a model into this page, ask it, and let the views follow. */
import type { Trace } from '../../src/trace/index.ts';
import type { Residency, Runner } from '../../src/viz/index.ts';
import { button, h } from '../dom.ts';
import { formatBytes, formatRate } from '../format.ts';
import { messageOf } from '../message-of.ts';
import { DEFAULT_ENDPOINT, urlChoice, type Choice } from '../models/choice.ts';
import { readTyped } from '../models/typed.ts';
import { SHIPPED_MODEL } from '../options.ts';
import { LiveModel } from './live-model.ts';
import { runnerOf } from './runner.ts';

export interface LiveEvents {
  /** @param isNew the first of this model; else the same with more tokens */
  readonly onTrace: (trace: Trace, isNew: boolean) => void;
  /** null: it is gone. */
  readonly onModel: (runner: Runner | null) => void;
  /** Where the model's experts are; null: it is gone. */
  readonly onResidency: (residency: Residency | null) => void;
  readonly say: (text: string, isError: boolean) => void;
}

const MOST_TOKENS = 256;
const IDLE = 'No model runs: what you see was recorded. Load one to see who answers you, token by token.';

export class LivePanel {
  readonly element = h('section', { class: 'live', 'aria-label': 'Live model' });
  readonly #events: LiveEvents;
  readonly #source = h('input', {
    type: 'text',
    id: 'model',
    placeholder: 'the model that comes with webmoe',
    spellcheck: 'false',
  });
  readonly #prompt = h('textarea', { id: 'prompt', rows: 2, 'aria-label': 'Prompt' });
  readonly #tokens = h('input', { type: 'number', id: 'tokens', min: 1, max: MOST_TOKENS, value: 48 });
  readonly #temperature = h('input', { type: 'number', id: 'temperature', min: 0, max: 2, step: 0.1, value: 0.7 });
  readonly #seed = h('input', { type: 'number', id: 'seed', min: 0, step: 1, placeholder: 'any' });
  readonly #logits = h('input', { type: 'checkbox', id: 'logits', checked: true });
  readonly #status = h('p', { class: 'muted', role: 'status' }, IDLE);
  readonly #answer = h('p', { class: 'answer' });
  #model: LiveModel | null = null;
  #work: AbortController | null = null;
  /** The trace on the page is this model's. */
  #isShown = false;

  constructor(events: LiveEvents) {
    this.#events = events;
    this.#prompt.value = 'Write a short poem about the sea.';
    this.#prompt.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      void this.#ask();
    });
    this.#render();
  }

  focus(): void {
    this.element.scrollIntoView({ block: 'nearest' });
    (this.#model ? this.#prompt : this.element.querySelector<HTMLElement>('button'))?.focus();
  }

  #render(): void {
    const isBusy = this.#work !== null;
    const focused = this.element.contains(document.activeElement) ? (document.activeElement as HTMLElement) : null;
    const stop = button(this.#model ? 'Stop' : 'Cancel', 'quiet', () => this.#work?.abort());
    this.element.replaceChildren(
      ...(this.#model
        ? [
            h(
              'div',
              { class: 'line' },
              this.#prompt,
              isBusy ? stop : button('Ask', 'primary compact', () => void this.#ask()),
            ),
            h(
              'div',
              { class: 'line small' },
              pair('Tokens', this.#tokens),
              pair('Temperature', this.#temperature),
              pair('Seed', this.#seed),
              h('label', { class: 'pair' }, this.#logits, 'scores of all experts'),
              button('Unload', 'quiet compact', () => void this.#unload()),
            ),
            this.#answer,
          ]
        : [
            h(
              'div',
              { class: 'line' },
              h('label', { for: 'model' }, 'Live model'),
              this.#source,
              isBusy ? stop : button('Load it here', 'primary compact', () => void this.#load()),
            ),
          ]),
      this.#status,
    );
    if (focused) (focused.isConnected ? focused : this.element.querySelector<HTMLElement>('.button'))?.focus();
  }

  #choice(): Choice | string {
    const typed = this.#source.value.trim();
    if (typed !== '') return readTyped(typed, { endpoint: DEFAULT_ENDPOINT, token: null });
    return urlChoice(new URL(`../${SHIPPED_MODEL}`, document.baseURI).href);
  }

  async #load(): Promise<void> {
    const choice = this.#choice();
    if (typeof choice === 'string') return this.#events.say(choice, true);
    await this.#working(async (signal) => {
      const { checkSupport } = await import('../../src/index.ts');
      const support = await checkSupport();
      if (!support.ok) throw new Error(`${support.message} Recorded traces work without it.`);
      this.#model = await LiveModel.load(choice, {
        signal,
        onProgress: ({ loadedBytes, totalBytes, phase }) => {
          this.#status.textContent =
            phase === 'weights'
              ? `${choice.name}: ${formatBytes(loadedBytes)} of ${formatBytes(totalBytes)}`
              : `${choice.name}: preparing the graphics card`;
        },
      });
      const { model, name, shape } = this.#model;
      const loaded = this.#model;
      this.#status.textContent = `${name} is loaded: ${shape.layers} MoE layers, ${shape.topK} of ${shape.experts} experts each.`;
      this.#events.onModel(runnerOf(model, name, shape));
      void model.lost.then(() => {
        if (this.#model === loaded) void this.#unload();
      });
    });
    if (this.#model && this.element.contains(document.activeElement)) this.#prompt.focus();
  }

  async #ask(): Promise<void> {
    const model = this.#model;
    const prompt = this.#prompt.value.trim();
    if (!model || this.#work || prompt === '') return;
    this.#answer.textContent = '';
    await this.#working(async (signal) => {
      this.#status.textContent = 'Reading the prompt…';
      const summary = await model.ask(prompt, {
        maxTokens: within(this.#tokens, 48),
        temperature: within(this.#temperature, 0.7),
        seed: this.#seed.value === '' ? undefined : within(this.#seed, 1),
        logits: this.#logits.checked,
        signal,
        onTrace: (trace) => {
          if (trace.steps.length === 0) return;
          this.#events.onTrace(trace, !this.#isShown);
          this.#isShown = true;
        },
        onResidency: (residency) => this.#isShown && this.#events.onResidency(residency),
        onText: (text) => {
          this.#status.textContent = 'Answering…';
          this.#answer.append(text);
        },
      });
      const { generatedTokens, tokensPerSecond, seed, finishReason } = summary;
      const speed = tokensPerSecond === null ? '' : `, ${formatRate(tokensPerSecond)}`;
      this.#status.textContent = `${generatedTokens} tokens${speed}, seed ${seed}${finishReason === 'abort' ? ', stopped' : ''}`;
    });
  }

  /** Another trace is shown: the next answer opens this model's again. */
  left(): void {
    this.#isShown = false;
    this.#events.onResidency(null);
  }

  async #working(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const run = (this.#work = new AbortController());
    this.#render();
    try {
      await work(run.signal);
    } catch (error) {
      if (!run.signal.aborted) this.#events.say(messageOf(error), true);
      this.#status.textContent = run.signal.aborted ? 'Cancelled.' : this.#model ? '' : IDLE;
    } finally {
      this.#work = null;
      this.#render();
    }
  }

  async #unload(): Promise<void> {
    const model = this.#model;
    this.#work?.abort();
    this.#model = null;
    this.#isShown = false;
    this.#status.textContent = IDLE;
    this.#events.onModel(null);
    this.#events.onResidency(null);
    this.#render();
    await model?.model.dispose();
  }
}

const pair = (label: string, input: HTMLInputElement): HTMLElement =>
  h('span', { class: 'pair' }, h('label', { for: input.id }, label), input);

function within(input: HTMLInputElement, otherwise: number): number {
  const value = input.valueAsNumber;
  if (!Number.isFinite(value)) return otherwise;
  const [low, high] = [Number(input.min), input.max === '' ? Infinity : Number(input.max)];
  return Math.min(high, Math.max(low, value));
}
