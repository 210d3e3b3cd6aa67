/** The slider beside a chat, behind a button of the header: letting it go moves experts onto the card or off it. */
import { h, iconButton } from '../dom.ts';
import type { ChatModel } from '../engine.ts';
import { errorSentence } from '../problem.ts';
import { memoryRange } from './range.ts';
import { MemorySlider } from './slider.ts';
import { expectText } from './words.ts';

/** From the keyboard every step is a change: several make one. */
const SETTLE_MS = 400;

export interface MemoryPanel {
  /** Opens and closes it; stands in the header. */
  readonly toggle: HTMLButtonElement;
  readonly element: HTMLElement;
  dispose(): void;
}

/** @returns null when the model leaves no choice */
export function memoryPanel(model: ChatModel, onResized: (bytes: number) => void): MemoryPanel | null {
  const range = memoryRange(model.plan);
  if (!range || !model.setGpuBytes) return null;
  const clamped = (bytes: number): number => Math.min(range.maxBytes, Math.max(range.minBytes, bytes));
  let settled = clamped(model.plan.budgetBytes);
  let isOpen = false;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const slider = new MemorySlider(range, settled, {
    onInput: () => {
      clearTimeout(timer);
      slider.expect('Let go to use it.');
    },
    onChange: (bytes) => {
      clearTimeout(timer);
      timer = setTimeout(() => void resize(bytes), SETTLE_MS);
    },
  });
  const bar = h('progress', { 'aria-label': 'Moving experts', hidden: true });
  const close = iconButton('Close', 'close', () => setOpen(false));
  const element = h(
    'section',
    { id: 'memory-panel', class: 'panel', 'aria-label': 'Graphics memory', hidden: true },
    slider.element,
    bar,
    close,
  );
  const toggle = iconButton('Graphics memory', 'memory', () => setOpen(!isOpen));
  toggle.setAttribute('aria-controls', element.id);
  toggle.setAttribute('aria-expanded', 'false');
  element.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape') return;
    event.stopPropagation(); // in the chat it would stop the answer
    setOpen(false);
  });

  function setOpen(open: boolean): void {
    isOpen = open;
    element.hidden = !open;
    toggle.setAttribute('aria-expanded', String(open));
    if (open) {
      void showPresent();
      slider.focus();
    } else toggle.focus();
  }

  async function showPresent(): Promise<void> {
    const stats = await model.expertStats?.().catch(() => null); // a model that went away says so elsewhere
    if (bar.hidden) slider.expect(stats ? expectText(stats.mode) : '');
    if (stats && bar.hidden) slider.showExperts(stats.slots);
  }

  async function resize(bytes: number): Promise<void> {
    if (bytes === settled) return void showPresent();
    slider.setDisabled(true);
    bar.hidden = false;
    slider.expect('Moving experts; an answer under way may pause…');
    let failure: string | null = null;
    try {
      await model.setGpuBytes?.(bytes);
      settled = bytes;
      onResized(bytes);
    } catch (error) {
      failure = errorSentence(error, 'The graphics memory could not be changed; it is as it was.');
      slider.bytes = settled;
    }
    bar.hidden = true;
    slider.setDisabled(false);
    await showPresent();
    if (failure) slider.showError(failure);
  }

  return { toggle, element, dispose: () => clearTimeout(timer) };
}
