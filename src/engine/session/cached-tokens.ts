/** The tokens whose keys and values, or whose state, are in the caches, and how they came there. */
import type { Batch } from '../forward/batch.ts';
import { StepLog, type LoggedStep } from '../step-log.ts';

export class CachedTokens {
  readonly #ids: number[] = [];
  readonly #log = new StepLog();

  get ids(): readonly number[] {
    return this.#ids;
  }

  get length(): number {
    return this.#ids.length;
  }

  /** The steps that make the same cache again. */
  get steps(): readonly LoggedStep[] {
    return this.#log.steps;
  }

  /** How many leading tokens of `ids` are here; the last one never counts. A recurrent state counts whole or not at all: see `Session.reusable`. */
  shared(ids: readonly number[], isRecurrent: boolean): number {
    const most = Math.min(this.#ids.length, ids.length - 1);
    let n = 0;
    while (n < most && this.#ids[n] === ids[n]) n++;
    return n < this.#ids.length && isRecurrent ? 0 : n;
  }

  /** Only the first `length` tokens count from now on. */
  keep(length: number): void {
    this.#ids.length = length;
    this.#log.keep(length);
  }

  append(step: LoggedStep, batch: Batch): void {
    this.#ids.push(...step.tokens);
    const { tokens, position, approximate } = step;
    // The tokens of a few have the bits of as many steps of one: so they come again wherever the experts are then.
    if (batch === 'few')
      tokens.forEach((id, i) => this.#log.add({ tokens: [id], position: position + i, approximate }));
    else this.#log.add(step);
  }
}
