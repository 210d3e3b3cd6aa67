/** What can be done with a message: a row of buttons under it, one stop for Tab. */
import { h, iconButton, type IconName } from './dom.ts';
import { roving } from './roving.ts';

export interface Tool {
  readonly label: string;
  readonly image: IconName;
  readonly run: () => void;
}

/** Where a message stands among those that were written at its place; from 0. */
export interface Place {
  readonly index: number;
  readonly count: number;
}

export class MessageTools {
  readonly element = h('div', { class: 'tools-row', role: 'toolbar', 'aria-label': 'Message' });
  readonly #refresh = roving(this.element, 'button', 'horizontal');
  readonly #place = h('span', { class: 'place numbers' });
  readonly #switch: HTMLElement;
  readonly #previous: HTMLButtonElement;
  readonly #next: HTMLButtonElement;
  readonly #buttons = new Map<string, HTMLButtonElement>();

  constructor(onStep: (step: -1 | 1) => void) {
    this.#previous = iconButton('Previous version', 'left', () => onStep(-1));
    this.#next = iconButton('Next version', 'right', () => onStep(1));
    this.#switch = h('span', { class: 'branches', hidden: true }, this.#previous, this.#place, this.#next);
    this.element.append(this.#switch);
  }

  /** Buttons that stay keep the focus. */
  show(tools: readonly Tool[], { index, count }: Place): void {
    const wanted = new Set(tools.map((tool) => tool.label));
    for (const [label, button] of this.#buttons) {
      if (wanted.has(label)) continue;
      button.remove();
      this.#buttons.delete(label);
    }
    for (const { label, image, run } of tools) {
      if (this.#buttons.has(label)) continue;
      const button = iconButton(label, image, run);
      this.#buttons.set(label, button);
      this.element.append(button);
    }
    this.#switch.hidden = count < 2;
    this.#place.textContent = `${index + 1} / ${count}`;
    this.#place.setAttribute('aria-label', `Version ${index + 1} of ${count}`);
    this.#place.setAttribute('role', 'img');
    // Not `disabled`: the button that was pressed would lose the focus at either end.
    this.#previous.setAttribute('aria-disabled', String(index === 0));
    this.#next.setAttribute('aria-disabled', String(index === count - 1));
    this.#refresh();
  }

  button(label: string): HTMLButtonElement | undefined {
    return this.#buttons.get(label);
  }

  focusSwitch(step: -1 | 1): void {
    (step < 0 ? this.#previous : this.#next).focus();
  }
}
