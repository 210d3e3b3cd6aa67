/** How much graphics memory the visitor gave to each model. */
import { recall, remember } from '../remember.ts';

const keyOf = (model: string): string => `webmoe-gpu-bytes:${model}`;

export class MemoryChoices {
  /** Also where storage is forbidden. */
  readonly #chosen = new Map<string, number>();

  /** @returns undefined when the visitor never chose */
  get(model: string): number | undefined {
    const bytes = this.#chosen.get(model) ?? Number(recall(keyOf(model)) ?? Number.NaN);
    return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined;
  }

  set(model: string, bytes: number): void {
    this.#chosen.set(model, bytes);
    remember(keyOf(model), String(bytes));
  }

  forget(model: string): void {
    this.#chosen.delete(model);
    remember(keyOf(model), null);
  }
}
