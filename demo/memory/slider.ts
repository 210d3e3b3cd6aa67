/** A slider over graphics memory, its value in words, and a place for what to expect and what went wrong. */
import { h } from '../dom.ts';
import { bytesAt, expertsAt, positionOf, type MemoryRange } from './range.ts';
import { amountText } from './words.ts';

let count = 0;

export interface SliderEvents {
  /** While it moves. */
  readonly onInput?: (bytes: number) => void;
  /** When it is let go; from the keyboard, after every step. */
  readonly onChange?: (bytes: number) => void;
}

export class MemorySlider {
  readonly element: HTMLElement;
  readonly #input: HTMLInputElement;
  readonly #amount: HTMLOutputElement;
  readonly #expect: HTMLElement;
  readonly #error: HTMLElement;
  #range: MemoryRange;
  #hadFocus = false;

  constructor(range: MemoryRange, bytes: number, events: SliderEvents) {
    this.#range = range;
    const id = `memory-${++count}`;
    this.#input = h('input', { type: 'range', id, min: 0, step: 1, 'aria-describedby': `${id}-expect` });
    this.#amount = h('output', { for: id, class: 'amount numbers', 'data-fact': 'amount' });
    this.#expect = h('p', { id: `${id}-expect`, class: 'muted small expect', role: 'status' });
    this.#error = h('p', { class: 'said error', role: 'alert', hidden: true });
    this.element = h(
      'div',
      { class: 'memory' },
      h('div', { class: 'memory-head' }, h('label', { for: id }, 'Graphics memory to use'), this.#amount),
      this.#input,
      h(
        'div',
        { class: 'ends muted', 'aria-hidden': 'true' },
        h('span', {}, 'the least that works'),
        h('span', {}, 'every expert'),
      ),
      this.#expect,
      this.#error,
    );
    this.#input.addEventListener('input', () => {
      this.showError('');
      this.#showEstimate();
      events.onInput?.(this.bytes);
    });
    this.#input.addEventListener('change', () => events.onChange?.(this.bytes));
    this.setRange(range, bytes);
  }

  get bytes(): number {
    return bytesAt(this.#range, this.#input.valueAsNumber);
  }

  setRange(range: MemoryRange, bytes: number): void {
    this.#range = range;
    this.#input.max = String(range.steps);
    this.#input.valueAsNumber = positionOf(range, bytes);
    this.#showEstimate();
  }

  set bytes(bytes: number) {
    this.#input.valueAsNumber = positionOf(this.#range, bytes);
    this.#showEstimate();
  }

  /** What really fits at the present position. */
  showExperts(experts: number): void {
    this.#showAmount(experts);
  }

  /** The slider alone cannot know. */
  expect(text: string): void {
    this.#expect.textContent = text;
  }

  /** @param text empty: nothing is wrong */
  showError(text: string): void {
    this.#error.hidden = !text;
    this.#error.textContent = text;
  }

  focus(): void {
    this.#input.focus();
  }

  /** A control that is switched off loses the focus: it gets it back. */
  setDisabled(disabled: boolean): void {
    const { activeElement } = document;
    if (disabled) this.#hadFocus = activeElement === this.#input;
    this.#input.disabled = disabled;
    if (!disabled && this.#hadFocus && (activeElement === document.body || activeElement === this.#input))
      this.#input.focus();
  }
  #showEstimate(): void {
    this.#showAmount(expertsAt(this.#range, this.bytes));
  }

  #showAmount(experts: number): void {
    const text = amountText(this.bytes, experts, this.#range.maxExperts);
    this.#amount.textContent = text;
    this.#input.setAttribute('aria-valuetext', text);
    this.#input.style.setProperty('--filled', `${(100 * this.#input.valueAsNumber) / this.#range.steps}%`);
  }
}
