/**
 * How the keys and values in the cache came about: the steps, in order, each in the shape in which it ran. Sums of floats depend on that shape,
 * so the same steps make the same bits again, and others need not.
 */
import type { ApproximateParams } from '../gpu/step.ts';

export interface LoggedStep {
  readonly tokens: readonly number[];
  /** Of the first of them. */
  readonly position: number;
  readonly approximate: ApproximateParams;
  /** The encoder read them. */
  readonly encodes?: boolean;
}

export class StepLog {
  #steps: LoggedStep[];

  constructor(steps: readonly LoggedStep[] = []) {
    this.#steps = [...steps];
  }

  get steps(): readonly LoggedStep[] {
    return this.#steps;
  }

  add(step: LoggedStep): void {
    this.#steps.push(step);
  }

  /** Of the cache only the first `length` tokens count from now on. A step that reaches beyond stays whole: what follows overwrites the rest. */
  keep(length: number): void {
    while (this.#steps.length > 0 && this.#steps.at(-1)!.position >= length) this.#steps.pop();
  }
}
