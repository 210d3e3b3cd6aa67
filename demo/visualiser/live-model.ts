/** A model that answers in this page, and the trace that grows while it does. The engine's code is loaded with it, not before. */
import type { GenerateSummary, LoadOptions, Model } from '../../src/index.ts';
import { expertBytesOf, LiveTrace, type Trace } from '../../src/trace/index.ts';
import type { Choice } from '../models/choice.ts';

export interface ModelShape {
  readonly layers: number;
  readonly experts: number;
  readonly topK: number;
}

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
}

type MoeLayer = Extract<Model['config']['layers'][number]['ffn'], { readonly experts: number }>;

const isMoe = (ffn: Model['config']['layers'][number]['ffn']): ffn is MoeLayer => 'experts' in ffn;

export class LiveModel {
  readonly model: Model;
  readonly name: string;
  readonly shape: ModelShape;
  readonly #trace: LiveTrace;

  private constructor(model: Model, name: string) {
    this.model = model;
    this.name = name;
    const layers = model.config.layers.flatMap(({ ffn }) => (isMoe(ffn) ? [ffn] : []));
    this.shape = {
      layers: layers.length,
      experts: Math.max(...layers.map((layer) => layer.experts)),
      topK: Math.max(...layers.map((layer) => layer.topK)),
    };
    const score = layers[0]?.router.score;
    this.#trace = new LiveTrace(
      { name, ...this.shape, expertBytes: expertBytesOf(model.plan) },
      {
        ...(score && score !== 'sqrt-softplus' && { scoring: score === 'sigmoid' ? 'sigmoid' : 'softmax' }),
        sharedExperts: Math.max(...layers.map((layer) => Math.round((layer.shared?.width ?? 0) / layer.width))),
        provenance: { kind: 'live', note: `${name}, answering in this page`, date: new Date().toISOString() },
      },
    );
  }

  /** @throws what `load` throws; Error for a model that has no experts */
  static async load(choice: Choice, options: LoadOptions): Promise<LiveModel> {
    const { load } = await import('../../src/index.ts');
    const model = await load(choice.source, { start: 'auto', ...options });
    if (model.config.layers.some(({ ffn }) => isMoe(ffn))) return new LiveModel(model, choice.name);
    await model.dispose();
    throw new Error(`${choice.name} has no experts: there is no routing to show.`);
  }

  get trace(): Trace {
    return this.#trace.snapshot();
  }

  async ask(prompt: string, options: AskOptions): Promise<GenerateSummary> {
    const { onTrace, onText, logits, ...wishes } = options;
    this.#trace.begin({ name: prompt.slice(0, 60), domain: null });
    let frame: number | null = null;
    const show = (): void => {
      frame = null;
      onTrace(this.#trace.snapshot());
    };
    const changed = (): void => {
      frame ??= requestAnimationFrame(show);
    };
    const stop = this.model.onStep((event) => this.#trace.step(event), 'ids');
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
    }
  }
}
