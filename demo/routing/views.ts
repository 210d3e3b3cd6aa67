/** What stands beside the chat: the grid of the token, the tokens by expert, and who is busy. */
import type { GeneratedToken, Model } from '../../src/index.ts';
import type { LiveStep, PromptChunk } from '../../src/trace/index.ts';
import { Brush, type MoeElement } from '../../src/viz/index.ts';
import { liveTraceOf, shapeOf } from './live-trace.ts';

/** One answer. */
export interface RoutingRun {
  prompt(chunk: PromptChunk): void;
  token(token: GeneratedToken): void;
  step(event: LiveStep): void;
  end(): void;
}

export interface RoutingViews {
  readonly elements: readonly HTMLElement[];
  begin(prompt: string): RoutingRun;
  dispose(): void;
}

const VIEWS = ['moe-token-grid', 'moe-token-strip', 'moe-heatmap'] as const;
/** Shares over the whole text change little with a token: it is drawn once a second. */
const SLOW: string = VIEWS[2];
const SLOW_MS = 1000;
/** The others follow at a pace that eyes can: each snapshot copies the lists of the whole conversation. */
const SHOW_MS = 250;
const NAME_LENGTH = 60;

export function routingViews(model: Pick<Model, 'config' | 'plan'>, name: string): RoutingViews {
  const trace = liveTraceOf(model, name, shapeOf(model.config)!);
  const brush = new Brush();
  const elements = VIEWS.map((tag) => {
    const element = document.createElement(tag) as MoeElement;
    element.brush = brush;
    return element;
  });
  let timer: ReturnType<typeof setTimeout> | null = null;
  let isOver = false;
  let shownAt = -Infinity;
  let slowAt = -Infinity;
  const show = (): void => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    shownAt = performance.now();
    const snapshot = trace.snapshot();
    if (snapshot.steps.length === 0) return;
    const isDue = isOver || performance.now() - slowAt >= SLOW_MS;
    if (isDue) slowAt = performance.now();
    for (const element of elements) if (isDue || element.localName !== SLOW) element.trace = snapshot;
  };
  const changed = (): void => {
    timer ??= setTimeout(show, SHOW_MS - (performance.now() - shownAt));
  };
  return {
    elements,
    begin(prompt) {
      isOver = false;
      trace.begin({ name: prompt.slice(0, NAME_LENGTH), domain: null });
      brush.select({ token: null, chat: null, range: null });
      return {
        prompt: (chunk) => (trace.prompt(chunk), changed()),
        token: (token) => (trace.token(token), changed()),
        step: (event) => trace.step(event),
        end: () => ((isOver = true), show()),
      };
    },
    dispose() {
      if (timer !== null) clearTimeout(timer);
    },
  };
}
