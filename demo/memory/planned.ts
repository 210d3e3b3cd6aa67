/** The slider before a load: moving it plans again. */
import { h } from '../dom.ts';
import type { PagePlan } from '../engine.ts';
import { errorSentence } from '../problem.ts';
import { memoryRange, widened } from './range.ts';
import { MemorySlider } from './slider.ts';
import { expectText } from './words.ts';

/** A plan takes a moment; a hand that moves is not done. */
const SETTLE_MS = 250;

export class PlannedMemory {
  /** Empty as long as there is nothing to choose. */
  readonly element = h('div', { class: 'planned', hidden: true });
  readonly #replan: (gpuBytes: number, signal: AbortSignal) => Promise<PagePlan>;
  readonly #onPlan: (plan: PagePlan) => void;
  #chosen: number | null = null;
  #planning = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(replan: (gpuBytes: number, signal: AbortSignal) => Promise<PagePlan>, onPlan: (plan: PagePlan) => void) {
    this.#replan = replan;
    this.#onPlan = onPlan;
  }

  /** null: the visitor did not touch the slider. */
  get chosenBytes(): number | null {
    return this.#chosen;
  }

  start(plan: PagePlan): void {
    let range = memoryRange(plan);
    if (!range) return;
    const slider = new MemorySlider(range, plan.budgetBytes, {
      onInput: (bytes) => {
        this.#chosen = bytes;
        this.#planning.abort();
        clearTimeout(this.#timer);
        slider.expect('Working it out…');
        this.#timer = setTimeout(() => void again(bytes), SETTLE_MS);
      },
    });
    const show = (shown: PagePlan): void => {
      slider.showExperts(shown.slots?.count ?? 0);
      slider.expect(shown.mode ? expectText(shown.mode, shown.tokensPerSecond) : '');
    };
    const again = async (bytes: number): Promise<void> => {
      const { signal } = (this.#planning = new AbortController());
      try {
        const next = await this.#replan(bytes, signal);
        if (signal.aborted) return;
        const nextRange = memoryRange(next);
        if (range && nextRange) slider.setRange((range = widened(range, nextRange)), bytes);
        this.#onPlan(next);
        show(next);
      } catch (error) {
        if (signal.aborted) return;
        slider.expect('');
        slider.showError(errorSentence(error, 'What this would mean could not be worked out.'));
      }
    };
    show(plan);
    this.element.replaceChildren(slider.element);
    this.element.hidden = false;
  }

  dispose(): void {
    clearTimeout(this.#timer);
    this.#planning.abort();
  }
}
