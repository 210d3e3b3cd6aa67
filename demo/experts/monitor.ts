/** Keeps the strip up to date: after steps, at most once a frame; between them, for the download. */
import type { ChatModel } from '../engine.ts';
import { StepHistory } from './history.ts';
import { ExpertStrip } from './strip.ts';

const POLL_MS = 1000;

export interface ExpertMonitor {
  readonly element: HTMLElement;
  /** Reads the present state. */
  refresh(): void;
  dispose(): void;
}

/** @returns null for a model that tells nothing of its experts */
export function expertMonitor(model: ChatModel): ExpertMonitor | null {
  if (!model.expertStats) return null;
  const history = new StepHistory();
  const strip = new ExpertStrip();
  let frame: number | null = null;
  let isDisposed = false;
  const refresh = async (): Promise<void> => {
    const stats = await model.expertStats?.().catch(() => null); // a model that went away says so elsewhere
    frame = null;
    if (stats && !isDisposed) strip.show(stats, history);
  };
  const stopListening = model.onStep?.((event) => {
    history.push(event);
    frame ??= requestAnimationFrame(() => void refresh());
  });
  const poll = setInterval(() => {
    if (!document.hidden) frame ??= requestAnimationFrame(() => void refresh());
  }, POLL_MS);
  void refresh();
  return {
    element: strip.element,
    refresh: () => void refresh(),
    dispose() {
      isDisposed = true;
      stopListening?.();
      clearInterval(poll);
      if (frame !== null) cancelAnimationFrame(frame);
    },
  };
}
