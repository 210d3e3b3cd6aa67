/** One page for the tests of the views: `window.viz` shows an element on a trace. */
import { readTrace } from '../../../src/trace/npz.ts';
import type { Trace } from '../../../src/trace/trace.ts';
import { bareTrace, syntheticTrace, type SyntheticSize } from '../../support/viz-traces.ts';
import { Brush, type MoeElement } from '../../../src/viz/index.ts';

const TRACES = {
  smolmoe: new URL('../../fixtures/traces/smolmoe.npz', import.meta.url).href,
  qwen: new URL('../../fixtures/traces/qwen.npz', import.meta.url).href,
  gemma: new URL('../../fixtures/traces/gemma.npz', import.meta.url).href,
  gptoss: new URL('../../fixtures/traces/gptoss.npz', import.meta.url).href,
} as const;
type TraceName = keyof typeof TRACES | 'synthetic' | 'bare';

async function open(name: TraceName): Promise<Trace> {
  if (name === 'synthetic') return syntheticTrace();
  if (name === 'bare') return bareTrace();
  const response = await fetch(TRACES[name]);
  return readTrace(new Uint8Array(await response.arrayBuffer()), name);
}

const brush = new Brush();
const viz = {
  brush,
  open,
  synthetic: (size: SyntheticSize) => syntheticTrace(size),
  /** @param link the view's state, as its link has it */
  async show(element: string, trace: TraceName | Trace | null, link = ''): Promise<MoeElement> {
    const view = document.createElement(element) as MoeElement;
    view.brush = brush;
    document.querySelector('main')!.append(view);
    if (link) view.link = link;
    view.trace = typeof trace === 'string' ? await open(trace) : trace;
    await view.updateComplete;
    return view;
  },
};
export type Viz = typeof viz;
declare global {
  interface Window {
    viz: Viz;
  }
}
window.viz = viz;

// By hand: /viz.html?moe-heatmap&trace=qwen&theme=dark
const query = new URLSearchParams(location.search);
document.documentElement.dataset.theme = query.get('theme') ?? '';
for (const name of query.keys())
  if (name.startsWith('moe-'))
    void viz.show(name, (query.get('trace') ?? 'smolmoe') as TraceName, location.hash.slice(1));
