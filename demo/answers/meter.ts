/** Adds up what an answer cost, from the model's steps while it was written. */
import type { StepEvent } from '../../src/index.ts';
import type { Figures } from '../conversations/types.ts';
import type { ChatModel, CountedEnd } from '../engine.ts';

export class Meter {
  readonly #stop: (() => void) | undefined;
  #needed = 0;
  #hits = 0;
  #tokens = 0;
  #bytes = 0;

  constructor(model: Pick<ChatModel, 'onStep'>) {
    this.#stop = model.onStep?.((event) => this.#add(event));
  }

  /** Tokens of the answer only: a prompt needs nearly every expert, whatever is on the card. */
  #add({ phase, tokens, layers, bytes }: StepEvent): void {
    if (phase !== 'decode') return;
    this.#tokens += tokens;
    this.#bytes += bytes.memory + bytes.disk + bytes.network;
    for (const layer of layers) {
      this.#needed += layer.needed;
      this.#hits += layer.hits;
    }
  }

  /** @param before of the part that was there, when an answer was gone on with: its tokens count */
  finish(summary: CountedEnd, model: string, before: Figures | null): Figures {
    this.stop();
    return {
      model,
      seed: summary.seed,
      promptTokens: summary.promptTokens,
      cachedTokens: summary.cachedTokens,
      generatedTokens: summary.generatedTokens + (before?.generatedTokens ?? 0),
      timeToFirstTokenMs: summary.timeToFirstTokenMs,
      tokensPerSecond: summary.tokensPerSecond,
      hitRate: this.#needed ? this.#hits / this.#needed : null,
      bytesPerToken: this.#tokens ? this.#bytes / this.#tokens : null,
      approximations: summary.approximations,
    };
  }

  stop(): void {
    this.#stop?.();
  }
}
