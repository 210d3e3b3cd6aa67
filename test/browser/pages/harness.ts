/** The engine on `window`, for tests that want its numbers and not its page. */
import { load, type Model } from '../../../src/index.ts';

export interface Drawn {
  readonly ids: number[];
  readonly text: string;
  readonly runsIn: Model['runsIn'];
}

export class Harness {
  #model: Model | undefined;

  async load(url: string, contextLength: number): Promise<{ adapter: string; isFallback: boolean }> {
    this.#model = await load(new URL(url, document.baseURI), { contextLength });
    const { architecture, isFallback } = this.#model.device.adapter;
    return { adapter: architecture, isFallback };
  }

  get model(): Model {
    if (!this.#model) throw new Error('no model is loaded');
    return this.#model;
  }

  /** Greedy answer to one question: the prompt's ids, the drawn ids, the text. */
  async answer(
    question: string,
    maxTokens: number,
  ): Promise<{ ids: number[]; text: string; tokensPerSecond: number | null }> {
    const ids: number[] = [];
    const answer = this.model.generate([{ role: 'user', content: question }], {
      temperature: 0,
      repetitionPenalty: 1,
      maxTokens,
    });
    for (;;) {
      const { value, done } = await answer.next();
      if (done) return { ids, text: value.text, tokensPerSecond: value.tokensPerSecond };
      ids.push(value.id);
    }
  }

  /** A text drawn at temperature 1. @returns with where it was drawn */
  async drawn(question: string, seed: number, maxTokens: number, model = this.model): Promise<Drawn> {
    const ids: number[] = [];
    const options = { temperature: 1, topP: 1, topK: 0, seed, maxTokens, ignoreEnd: true };
    const answer = model.generate([{ role: 'user', content: question }], options);
    for (;;) {
      const { value, done } = await answer.next();
      if (done) return { ids, text: value.text, runsIn: model.runsIn };
      ids.push(value.id);
    }
  }

  /** The same by a model that runs in the page's own thread. */
  async drawnHere(url: string, contextLength: number, ...asked: [string, number, number]): Promise<Drawn> {
    const model = await load(new URL(url, document.baseURI), { contextLength, worker: false });
    try {
      return await this.drawn(...asked, model);
    } finally {
      await model.dispose();
    }
  }

  /** Mean negative log-likelihood of every token but the first, in nats. */
  async meanNll(ids: readonly number[]): Promise<number> {
    const { logits } = await this.model.logits(ids);
    const vocab = logits.length / ids.length;
    let total = 0;
    for (let t = 0; t + 1 < ids.length; t++) {
      const row = logits.subarray(t * vocab, (t + 1) * vocab);
      const max = row.reduce((m, x) => Math.max(m, x), -Infinity);
      const sum = row.reduce((s, x) => s + Math.exp(x - max), 0);
      total += max + Math.log(sum) - row[ids[t + 1]!]!;
    }
    return total / (ids.length - 1);
  }
}

declare global {
  interface Window {
    harness: Harness;
  }
}

window.harness = new Harness();
