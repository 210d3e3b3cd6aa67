/** Short notices over the composer. They go by themselves, but not while somebody points at them or is in them. */
import { button, h, iconButton } from './dom.ts';
import type { Action } from './problem-view.ts';

const SHOWN_MS = 8000;

export interface Toast {
  readonly action?: Action;
  readonly isError?: boolean;
}

export class Toasts {
  readonly element = h('div', { class: 'toasts' });
  readonly #announce: (text: string) => void;

  constructor(announce: (text: string) => void) {
    this.#announce = announce;
  }

  show(text: string, { action, isError = false }: Toast = {}): void {
    const close = (): void => {
      clearTimeout(timer);
      toast.remove();
    };
    const act = action && button(action.label, 'quiet compact', () => (close(), action.run()));
    const toast = h(
      'div',
      { class: isError ? 'toast error' : 'toast', ...(isError && { role: 'alert' }) },
      h('span', {}, text),
      act ?? null,
      iconButton('Dismiss', 'close', close),
    );
    let timer: ReturnType<typeof setTimeout> | undefined;
    const wait = (): void => {
      clearTimeout(timer);
      timer = setTimeout(close, SHOWN_MS);
    };
    for (const stop of ['pointerenter', 'focusin']) toast.addEventListener(stop, () => clearTimeout(timer));
    for (const go of ['pointerleave', 'focusout']) toast.addEventListener(go, wait);
    if (!isError) wait();
    for (const old of [...this.element.children]) if (!old.querySelector('.button')) old.remove();
    while (this.element.childElementCount > 1) this.element.firstElementChild?.remove();
    this.element.append(toast);
    if (!isError) this.#announce(action ? `${text} ${action.label} is possible for some seconds.` : text);
  }

  /** Runs the action of the last one. */
  act(): void {
    this.element.querySelector<HTMLButtonElement>('.toast:last-child .button')?.click();
  }
}
