/** A model that answers in this page, and the trace that grows while it does. The engine's code is loaded with it, not before. */
import type { GenerateSummary, LoadOptions, Model } from '../../src/index.ts';
import type { LiveTrace, Trace } from '../../src/trace/index.ts';
import type { Residency } from '../../src/viz/index.ts';
import type { Choice } from '../models/choice.ts';
import { liveTraceOf, shapeOf, type ModelShape } from '../routing/live-trace.ts';
import { Latest } from './latest.ts';

export interface AskOptions {
  readonly maxTokens: number;
  readonly temperature: number;
  readonly seed: number | undefined;
  /** The routers' logits too: more bytes back from the card. */
  readonly logits: boolean;
  readonly signal: AbortSignal;
  /** At most once a frame. */
  readonly onTrace: (trace: Trace) => void;
  readonly onText: (text: string) => void;
  /** As often as the model tells. */
  readonly onResidency: (residency: Residency) => void;
}

export class LiveModel {
  readonly model: Model;
  readonly name: string;
  readonly shape: ModelShape;
  readonly #trace: LiveTrace;

  private constructor(model: Model, name: string, shape: ModelShape) {
    this.model = model;
    this.name = name;
    this.shape = shape;
    this.#trace = liveTraceOf(model, name, shape);
  }

  /** @throws what `load` throws; Error for a model that has no experts */
  static async load(choice: Choice, options: LoadOptions): Promise<LiveModel> {
    const { load } = await import('../../src/index.ts');
    const model = await load(choice.source, { start: 'auto', ...options });
    const shape = shapeOf(model.config);
    if (shape) return new LiveModel(model, choice.name, shape);
    await model.dispose();
    throw new Error(`${choice.name} has no experts: there is no routing to show.`);
  }

  get trace(): Trace {
    return this.#trace.snapshot();
  }

  async ask(prompt: string, options: AskOptions): Promise<GenerateSummary> {
    const { onTrace, onText, onResidency, logits, ...wishes } = options;
    this.#trace.begin({ name: prompt.slice(0, 60), domain: null });
    let frame: number | null = null;
    const show = (): void => {
      frame = null;
      onTrace(this.#trace.snapshot());
    };
    const changed = (): void => {
      frame ??= requestAnimationFrame(show);
    };
    const places = new Latest(() => this.#residency(), onResidency);
    const stop = this.model.onStep((event) => (this.#trace.step(event), places.changed()), 'ids');
    try {
      const answer = this.model.generate([{ role: 'user', content: prompt }], {
        ...wishes,
        routing: logits ? 'logits' : 'ids',
        skipCache: true,
        onPromptRouting: (chunk) => (this.#trace.prompt(chunk), changed()),
      });
      for (;;) {
        const { value, done } = await answer.next();
        if (done) return value;
        this.#trace.token(value);
        onText(value.text);
        changed();
      }
    } finally {
      stop();
      if (frame !== null) cancelAnimationFrame(frame);
      onTrace(this.#trace.snapshot());
      places.changed();
    }
  }

  async #residency(): Promise<Residency> {
    const { layers, experts } = this.shape;
    const state = new Uint8Array(layers * experts);
    (await this.model.expertPlaces()).forEach((of, layer) => state.set(of, layer * experts));
    return { state };
  }
}
