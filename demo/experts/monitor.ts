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
  const refresh = (): void => {
    frame = null;
    const stats = model.expertStats?.();
    if (stats) strip.show(stats, history);
  };
  const stopListening = model.onStep?.((event) => {
    history.push(event);
    frame ??= requestAnimationFrame(refresh);
  });
  const poll = setInterval(() => {
    if (!document.hidden) frame ??= requestAnimationFrame(refresh);
  }, POLL_MS);
  refresh();
  return {
    element: strip.element,
    refresh,
    dispose() {
      stopListening?.();
      clearInterval(poll);
      if (frame !== null) cancelAnimationFrame(frame);
    },
  };
}
