/** One page for the tests of the views: `window.viz` shows an element on a trace. */
import { readTrace } from '../../../src/trace/npz.ts';
import type { Trace } from '../../../src/trace/trace.ts';
import { bareTrace, syntheticTrace, type SyntheticSize } from '../../support/viz-traces.ts';
import { Brush, type DomainCounts, type MoeElement } from '../../../src/viz/index.ts';

const TRACES = {
  smolmoe: new URL('../../../demo/visualiser/data/smolmoe.npz', import.meta.url).href,
  qwen: new URL('../../../demo/visualiser/data/qwen.npz', import.meta.url).href,
  gemma: new URL('../../../demo/visualiser/data/gemma.npz', import.meta.url).href,
  gptoss: new URL('../../../demo/visualiser/data/gptoss.npz', import.meta.url).href,
} as const;
/** Not by address: a small file becomes a data: address, which the policy of pages forbids. */
const COUNTS = {
  olmoe: () => import('../../fixtures/olmoe-paper/olmoe-expert-counts.json'),
  mixtral: () => import('../../fixtures/olmoe-paper/mixtral-expert-counts.json'),
} as const;
type TraceName = keyof typeof TRACES | 'synthetic' | 'bare' | '';

/** Counts that the OLMoE paper published. */
async function published(name: 'olmoe' | 'mixtral'): Promise<DomainCounts> {
  const counts: Readonly<Record<string, number[][]>> = (await COUNTS[name]()).default;
  return {
    model: name === 'olmoe' ? { name, experts: 64, topK: 8 } : { name, experts: 8, topK: 2 },
    layers: [0, 7, 15],
    domains: Object.keys(counts),
    counts: Object.values(counts).flat(2),
    provenance: { kind: 'published', note: 'Counts of the OLMoE paper.' },
  };
}

async function open(name: TraceName): Promise<Trace | null> {
  if (name === '') return null;
  if (name === 'synthetic') return syntheticTrace();
  if (name === 'bare') return bareTrace();
  const response = await fetch(TRACES[name]);
  return readTrace(new Uint8Array(await response.arrayBuffer()), name);
}

const brush = new Brush();
const viz = {
  brush,
  open,
  published,
  synthetic: (size: SyntheticSize) => syntheticTrace(size),
  bare: (size: SyntheticSize) => bareTrace(size),
  /**
   * @param link the view's state, as its link has it
   * @param properties further ones of the element
   */
  async show(
    element: string,
    trace: TraceName | Trace | null,
    link = '',
    properties: object = {},
  ): Promise<MoeElement> {
    const view = Object.assign(document.createElement(element) as MoeElement, properties);
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

// By hand: /viz.html?moe-heatmap&trace=qwen&theme=dark, /viz.html?moe-domains&trace=&counts=olmoe
const query = new URLSearchParams(location.search);
document.documentElement.dataset.theme = query.get('theme') ?? '';
const counts = query.get('counts') as 'olmoe' | 'mixtral' | null;
const properties = counts ? { counts: await published(counts) } : {};
for (const name of query.keys())
  if (name.startsWith('moe-'))
    void viz.show(name, (query.get('trace') ?? 'smolmoe') as TraceName, location.hash.slice(1), properties);
