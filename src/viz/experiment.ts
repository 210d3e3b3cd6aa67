/** Experiments on a loaded model: change the routing, and measure what that does to the next token and to the text. One for each runner. */
import { divergenceOf, moversOf, type Divergence, type Mover } from '../trace/stats/kl.ts';
import { messageOf } from './words.ts';

/** As the engine's own; docs/routing.md. */
export interface Changes {
  readonly mask?: readonly (readonly [layer: number, expert: number])[];
  readonly force?: readonly (readonly [layer: number, expert: number])[];
  readonly topK?: number;
  readonly routerBias?: readonly (readonly [layer: number, expert: number, bias: number])[];
}

export interface RunOptions {
  readonly changes?: Changes;
  readonly signal: AbortSignal;
}

/** What a page makes of its model: the property `runner` of the element. */
export interface Runner {
  readonly name: string;
  readonly layers: number;
  readonly experts: number;
  readonly topK: number;
  /** Of a user's text, as the model sees it. */
  encode(text: string): Promise<readonly number[]>;
  /** What each id reads as. */
  texts(ids: readonly number[]): Promise<readonly string[]>;
  /**
   * Of the last of `ids`, and which experts each layer chose for it, in rank order, [L][K].
   * @param options.lastOnly the changes hold for the last token alone, which runs as a step of its own
   */
  next(
    ids: readonly number[],
    options: RunOptions & { readonly lastOnly?: boolean },
  ): Promise<{ readonly logits: Float32Array; readonly chosen: readonly (readonly number[])[] }>;
  /** The likeliest text, greedily. */
  continue(ids: readonly number[], options: RunOptions & { readonly maxTokens: number }): Promise<string>;
}

export interface Before {
  readonly ids: readonly number[];
  readonly logits: Float32Array;
  readonly chosen: readonly (readonly number[])[];
  readonly text: string;
}

export interface After extends Divergence {
  readonly label: string;
  readonly movers: readonly Mover[];
  readonly text: string;
}

/** One of several runs that differ in one expert. */
export interface Trial extends Divergence {
  readonly layer: number;
  readonly expert: number;
  /** It was among the chosen of the last token before. */
  readonly wasChosen: boolean;
  /** The likeliest next token. */
  readonly best: number;
}

export interface Trials {
  readonly label: string;
  readonly of: number;
  readonly done: readonly Trial[];
}

const MOVERS = 12;

const bestOf = (logits: Float32Array): number =>
  logits.reduce((best, value, i) => (value > logits[best]! ? i : best), 0);

export class Experiment {
  readonly runner: Runner;
  before: Before | null = null;
  after: After | null = null;
  trials: Trials | null = null;
  /** What ids of movers and best tokens read as. */
  readonly names = new Map<number, string>();
  /** What is going on; null: nothing. */
  doing: string | null = null;
  problem: string | null = null;
  #run: AbortController | null = null;
  #prompt = '';
  #length = 0;

  constructor(runner: Runner) {
    this.runner = runner;
  }

  cancel(): void {
    this.#run?.abort();
  }

  /** Back to the model as it is: nothing of a change stays in it. */
  undo(): void {
    this.cancel();
    this.after = null;
    this.trials = null;
  }

  /** The text and the next token with the changes, beside those without. */
  async compare(prompt: string, changes: Changes, label: string, maxTokens: number, redraw: () => void): Promise<void> {
    await this.#doing(redraw, async (signal) => {
      const { ids, logits } = await this.#baseline(prompt, maxTokens, signal);
      this.doing = `${label}…`;
      redraw();
      const next = await this.runner.next(ids, { changes, signal });
      const text = await this.runner.continue(ids, { changes, signal, maxTokens });
      const movers = moversOf(logits, next.logits, MOVERS);
      await this.#name(movers.map(({ id }) => id));
      this.after = { label, text, ...divergenceOf(logits, next.logits), movers };
    });
  }

  /** Each expert of a layer switched off in turn. */
  maskEach(prompt: string, layer: number, maxTokens: number, redraw: () => void): Promise<void> {
    const label = `each expert of layer ${layer} switched off in turn`;
    return this.#tryEach(prompt, layer, label, maxTokens, redraw, (expert) => ({ mask: [[layer, expert]] }));
  }

  /** For the last token alone: each expert of a layer that it did not take, in place of the weakest that it took. */
  forceEach(prompt: string, layer: number, maxTokens: number, redraw: () => void): Promise<void> {
    const label = `each other expert of layer ${layer}, for the last token alone`;
    return this.#tryEach(prompt, layer, label, maxTokens, redraw, (expert) => ({ force: [[layer, expert]] }), true);
  }

  async #tryEach(
    prompt: string,
    layer: number,
    label: string,
    maxTokens: number,
    redraw: () => void,
    changesOf: (expert: number) => Changes,
    lastOnly = false,
  ): Promise<void> {
    await this.#doing(redraw, async (signal) => {
      const { ids, ...plain } = await this.#baseline(prompt, maxTokens, signal);
      // Alone, the last token is a step of its own: the run to compare with is cut at the same place, so that no bit differs for another reason.
      const { logits, chosen } = lastOnly ? await this.runner.next(ids, { signal, lastOnly }) : plain;
      const taken = chosen[layer] ?? [];
      const experts = Array.from({ length: this.runner.experts }, (_, e) => e).filter(
        (e) => !lastOnly || !taken.includes(e),
      );
      const done: Trial[] = [];
      for (const expert of experts) {
        this.doing = `Expert ${expert} of layer ${layer} (${done.length + 1} of ${experts.length})…`;
        this.trials = { label, of: experts.length, done: done.slice() };
        redraw();
        const next = await this.runner.next(ids, { changes: changesOf(expert), signal, lastOnly });
        const wasChosen = taken.includes(expert);
        done.push({ layer, expert, wasChosen, best: bestOf(next.logits), ...divergenceOf(logits, next.logits) });
      }
      await this.#name(done.map(({ best }) => best));
      this.trials = { label, of: experts.length, done };
    });
  }

  async #name(ids: readonly number[]): Promise<void> {
    const unknown = [...new Set(ids)].filter((id) => !this.names.has(id));
    const texts = await this.runner.texts(unknown);
    unknown.forEach((id, i) => this.names.set(id, texts[i] ?? `#${id}`));
  }

  /** Without changes; kept for the same prompt. */
  async #baseline(prompt: string, maxTokens: number, signal: AbortSignal): Promise<Before> {
    if (this.before && this.#prompt === prompt && this.#length === maxTokens) return this.before;
    this.after = this.trials = null;
    const ids = await this.runner.encode(prompt);
    const { logits, chosen } = await this.runner.next(ids, { signal });
    const text = await this.runner.continue(ids, { signal, maxTokens });
    this.#prompt = prompt;
    this.#length = maxTokens;
    return (this.before = { ids, logits, chosen, text });
  }

  async #doing(redraw: () => void, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    this.cancel();
    const run = (this.#run = new AbortController());
    this.problem = null;
    this.doing = 'Without changes…';
    redraw();
    try {
      await work(run.signal);
    } catch (error) {
      if (!run.signal.aborted) this.problem = messageOf(error);
    } finally {
      if (this.#run === run) this.doing = null;
      redraw();
    }
  }
}
