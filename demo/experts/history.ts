/** The last tokens as far as experts are concerned: hit rate by token, and how much of the time was waiting. */
import type { StepEvent } from '../../src/index.ts';

/** As `recentHitRate` of the engine. */
export const WINDOW = 64;

interface Token {
  readonly hitRate: number;
  readonly ms: number;
  readonly stallMs: number;
}

export class StepHistory {
  readonly #tokens: Token[] = [];

  /** A prompt is no token: it needs nearly every expert, whatever is on the card. */
  push({ phase, layers, ms, stallMs }: StepEvent): void {
    if (phase !== 'decode') return;
    const needed = layers.reduce((sum, layer) => sum + layer.needed, 0);
    if (needed === 0) return;
    const hits = layers.reduce((sum, layer) => sum + layer.hits, 0);
    this.#tokens.push({ hitRate: hits / needed, ms, stallMs });
    if (this.#tokens.length > WINDOW) this.#tokens.shift();
  }

  /** Oldest first. */
  get hitRates(): readonly number[] {
    return this.#tokens.map((token) => token.hitRate);
  }

  /** Of the time of these tokens; null before the first. */
  get stallShare(): number | null {
    const ms = this.#tokens.reduce((sum, token) => sum + token.ms, 0);
    return ms > 0 ? this.#tokens.reduce((sum, token) => sum + token.stallMs, 0) / ms : null;
  }
}
