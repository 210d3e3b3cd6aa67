/** What the views of tokens compute, say and list, without a browser. */
import { describe, expect, it } from 'vitest';
import { takenIn } from '../../../src/trace/stats/taken.ts';
import { countsOf } from '../../../src/trace/stats/select.ts';
import type { Trace } from '../../../src/trace/trace.ts';
import { Brush, type Selection } from '../../../src/viz/brush.ts';
import { flowTokens } from '../../../src/viz/figures/text-flow.ts';
import { chosenAt, pageOf, routeWords, spansOf, tokenIn } from '../../../src/viz/route.ts';
import { domainGroups, positionGroups, typeGroups } from '../../../src/viz/shares.ts';
import type { Context, State, View } from '../../../src/viz/view.ts';
import { confidence } from '../../../src/viz/views/confidence.ts';
import { expertCard } from '../../../src/viz/views/expert-card.ts';
import { history } from '../../../src/viz/views/history.ts';
import { routerBars } from '../../../src/viz/views/router-bars.ts';
import { speedOf } from '../../../src/viz/views/timeline.ts';
import { linksOf, tokenGrid } from '../../../src/viz/views/token-grid.ts';
import { huesOf, tokenStrip } from '../../../src/viz/views/token-strip.ts';
import { vocabulary } from '../../../src/viz/views/vocabulary.ts';
import { bareTrace, syntheticTrace } from '../../support/viz-traces.ts';

const trace = syntheticTrace();

function contextOf<S extends State>(
  view: View<unknown, S>,
  of: Trace,
  select: Partial<Selection>,
  state: Partial<S>,
): Context<S> {
  const brush = new Brush();
  brush.select(select);
  const nothing = (): void => undefined;
  return {
    trace: of,
    other: null,
    dropped: null,
    extra: {},
    state: { ...view.state, ...state },
    brush,
    selection: brush.selection,
    part: brush.part,
    width: 640,
    dark: false,
    motion: true,
    set: nothing,
    say: nothing,
    redraw: nothing,
  };
}

function read<D, S extends State>(
  view: View<D, S>,
  of: Trace,
  select: Partial<Selection> = {},
  state: Partial<S> = {},
) {
  const context = contextOf(view as View<unknown, S>, of, select, state);
  const data = view.compute(context) as D;
  return { data, summary: view.summary(data, context), table: view.table(data, context) };
}

describe('a route', () => {
  it('names token, layer, experts and weights', () => {
    const [first, second] = chosenAt(trace, 5, 1);
    expect([first!.expert, second!.expert]).toEqual([...trace.ids.subarray((5 * 4 + 1) * 2, (5 * 4 + 2) * 2)]);
    expect(routeWords(trace, 5, 1)).toMatch(
      new RegExp(`^token 5 “.+”, layer 1: E${first!.expert} 0\\.\\d{3}, E${second!.expert} 0\\.\\d{3}$`),
    );
    expect(routeWords(bareTrace(), 5, 1)).toBe(`token 5 layer 1: E${first!.expert}, E${second!.expert}`);
  });

  it('keeps prompt and answer of each chat apart', () => {
    const spans = spansOf(
      trace,
      Uint32Array.from({ length: 48 }, (_, i) => i),
    );
    expect(spans.map(({ from, to, chat, phase }) => [from, to, chat, phase])).toEqual([
      [0, 8, 0, 'prefill'],
      [8, 24, 0, 'decode'],
      [24, 32, 1, 'prefill'],
      [32, 48, 1, 'decode'],
    ]);
  });

  it('is of the selected token, or of the nearest one of the part', () => {
    expect(tokenIn(trace, {}, null)).toBe(215);
    expect(tokenIn(trace, { phase: 'decode' }, 3)).toBe(8);
    expect(tokenIn(trace, { chat: 99 }, 3)).toBe(null);
  });

  it('pages through long texts: at the start, at the token, and at the end of a live one', () => {
    const rows = Uint32Array.from({ length: 216 }, (_, i) => i);
    expect(pageOf(trace, rows, null, 100)).toEqual({ from: 0, to: 100 });
    expect(pageOf(trace, rows, 150, 100)).toEqual({ from: 100, to: 200 });
    const live = { ...trace, provenance: { kind: 'live', note: '' } as const };
    expect(pageOf(live, rows, null, 100)).toEqual({ from: 200, to: 216 });
  });
});

describe('the strip', () => {
  it('gives eight experts a hue each, and of more the seven busiest', () => {
    expect([...huesOf(countsOf(trace), 0)]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    const counts = countsOf(syntheticTrace({ experts: 16 }));
    const hues = huesOf(counts, 2);
    const load = counts.counts.subarray(32, 48);
    const own = Array.from(hues.keys()).filter((e) => hues[e]! < 7);
    expect(own).toHaveLength(7);
    const least = Math.min(...own.map((e) => load[e]!));
    expect(Array.from(load.keys()).every((e) => own.includes(e) || load[e]! <= least)).toBe(true);
  });

  it('wraps lines, titles stretches, and keeps white space visible', () => {
    const texts = ['Hi', ' you', '\n', ' a-very-long-token-without-any-end'];
    const { placed, titles } = flowTokens({
      tokens: [0, 1, 2, 3],
      text: (token) => texts[token]!,
      least: () => 20,
      breaks: [
        { at: 0, title: 'prompt' },
        { at: 2, title: 'answer' },
      ],
      width: 120,
      measure: (text) => 7 * text.length,
    });
    expect(placed.map(({ text }) => text)).toEqual(['Hi', 'you', '↵', 'a-very-long-token-witho…']);
    expect(titles.map(({ title }) => title)).toEqual(['prompt', 'answer']);
    expect(placed[1]!.x - placed[0]!.x - placed[0]!.width).toBeGreaterThan(4);
    expect(placed[3]!.y).toBeGreaterThan(placed[2]!.y);
    expect(placed[2]!.y).toBeGreaterThan(titles[1]!.y);
  });

  it('lists every choice', () => {
    const { table, summary } = read(tokenStrip, trace, { layer: 2, chat: 1 });
    expect(table.rows).toHaveLength(48);
    expect(table.rows[0]!.slice(0, 1)).toEqual([24]);
    expect(summary).toMatch(/^24 tokens; .* of 23 \(chance: 12\.5 %/);
  });
});

it('the grid lists both tokens and says what they share by chance', () => {
  const { table, summary } = read(tokenGrid, trace, { token: 9, pinned: 9 });
  expect(table.rows).toHaveLength(16);
  expect(summary).toContain('shares 100.0 % of its experts (chance: 25.0 %');
});

it('the history has a row for each token and a column for each layer', () => {
  const { table } = read(history, trace, { phase: 'decode' });
  expect(table.rows).toHaveLength(9 * 16);
  expect(table.columns.slice(4)).toEqual(['layer 0', 'layer 1', 'layer 2', 'layer 3']);
  expect(table.rows[0]![4]).toMatch(/^E\d 0\.\d{3}, E\d 0\.\d{3}$/);
});

describe('router bars', () => {
  it('order all probabilities, which add up to one, and mark the chosen first', () => {
    const { table, summary } = read(routerBars, trace, { token: 20, layer: 3 });
    const probs = table.rows.map((row) => row[1] as number);
    expect(probs.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
    expect(probs).toEqual(probs.toSorted((a, b) => b - a));
    expect(table.rows.map((row) => row[3])).toEqual([1, 2, null, null, null, null, null, null]);
    const margin = 100 * (probs[1]! - probs[2]!);
    expect(summary).toContain(`the runner-up: ${margin.toFixed(2)} %`);
  });

  it('say so when something beside the probabilities chose', () => {
    const ids = trace.ids.slice();
    const at = (20 * 4 + 3) * 2;
    const rest = Array.from({ length: 8 }, (_, e) => e).filter((e) => !ids.subarray(at, at + 2).includes(e));
    ids.set(rest.slice(0, 2), at);
    expect(read(routerBars, { ...trace, ids }, { token: 20, layer: 3 }).summary).toContain('bias for selection');
    expect(read(routerBars, trace, { token: 20, layer: 3 }).summary).not.toContain('bias for selection');
  });

  it('show gate weights alone without logits', () => {
    // Sigmoid routers give weights that do not add up to 1.
    const weights = trace.weights!.map((weight) => 1.5 * weight);
    const { table, summary } = read(routerBars, { ...trace, weights, logits: null }, { token: 20 });
    expect(table.rows).toHaveLength(2);
    expect(summary).toContain('they add up to 1.50, 0.750 each if all were alike');
  });
});

it('a router to which all experts are alike has entropy 1, margin 0 and equal weights', () => {
  const alike = { ...trace, logits: trace.logits!.map(() => 0), weights: trace.weights!.map(() => 0.5) };
  const { table, summary, data } = read(confidence, alike);
  for (const row of table.rows) expect(row.slice(2, 5)).toEqual([expect.closeTo(1, 9), expect.closeTo(0, 9), 0.5]);
  expect(summary).toContain('median entropy of the probabilities 1.00');
  expect(data.layers).toHaveLength(4);
  expect(data.bits![7]).toBeCloseTo(-Math.log2(Math.exp(trace.logprobs![7]!)), 5);
  // Logits of a part of the tokens: the track is of those.
  const width = trace.model.layers * trace.model.experts;
  const part = { ...trace, logits: trace.logits!.map((logit, i) => (i < 30 * width ? NaN : logit)) };
  expect(Array.from(read(confidence, part).data.known.subarray(0, 2))).toEqual([30, 31]);
  expect(read(confidence, trace).summary).not.toContain('probabilities 1.00;');
});

describe('an expert’s card', () => {
  it('counts its tokens, and its shares add up to one', () => {
    const { table, summary, data } = read(expertCard, trace, { layer: 1, expert: 4 });
    const { ids } = takenIn(trace, 1);
    const times = ids.filter((id) => id === 4).length;
    expect(summary).toContain(`L1·E4 took ${times} tokens of 216`);
    for (const title of ['kind of token', 'domain', 'place in the chat'])
      expect(table.rows.filter(([of]) => of === title).reduce((sum, row) => sum + (row[2] as number), 0)).toBeCloseTo(
        1,
        9,
      );
    expect([...data.experts.get(4)!.tokens].sort((a, b) => a - b)[0]).toBe(
      Array.from({ length: 216 }, (_, t) => t).find((t) => chosenAt(trace, t, 1).some(({ expert }) => expert === 4)),
    );
  });

  it('finds a taste where there is one, beyond the band, and names the groups', () => {
    const ids = trace.ids.slice();
    const code = (token: number): boolean => Math.floor(token / 24) % 3 === 0;
    for (let token = 0; token < 216; token++) ids.set(code(token) ? [0, 1] : [2, 3], token * 8);
    const groups = domainGroups({ ...trace, ids }, 0, {})!;
    expect(groups.names).toEqual(['code', 'prose', 'french']);
    const [ofCode] = groups.shares(0);
    expect(ofCode!.value).toBe(1);
    expect(ofCode!.value).toBeGreaterThan(ofCode!.chance!.high);
    expect(positionGroups(trace, 0, {}).names).toHaveLength(8);
    expect(typeGroups(bareTrace(), 0, {})).toBe(null);
  });
});

it('kinds of tokens by experts: cells are outside the band only where chance does not lead', () => {
  const plain = read(vocabulary, syntheticTrace({ taste: 0, chats: 30 })).data;
  const tasty = read(vocabulary, syntheticTrace({ taste: 2, chats: 30 })).data;
  const share = ({ beyond }: { beyond: Uint8Array }): number => beyond.reduce((n, is) => n + is, 0) / beyond.length;
  expect(share(plain)).toBeLessThan(0.15);
  expect(share(tasty)).toBeGreaterThan(0.3);
  const { table, summary } = read(vocabulary, trace, { layer: 1 });
  expect(table.rows.reduce((n, row) => n + (row[2] as number), 0)).toBe(432);
  expect(summary).toMatch(/token read: \d+\.\d % \(by chance .*\)/);
});

describe('the lines of the grid', () => {
  it('join shares of the weight: a sigmoid router, whose weights do not add up to 1, gets as many as a softmax one', () => {
    const doubled = { ...trace, weights: trace.weights!.map((weight) => 2 * weight) };
    const places = (of: Trace) => linksOf(of, 5, 3, 'red', false).map(({ from, to }) => [from, to]);
    expect(places(trace).length).toBeGreaterThanOrEqual(3);
    expect(places(doubled)).toEqual(places(trace));
  });
});

it('the speed of an answer leaves out steps that nobody measured', () => {
  expect(speedOf({ ms: [100, NaN, 300], tokens: [1, 1, 1] })).toBe(5);
  expect(speedOf({ ms: [NaN], tokens: [1] })).toBeNaN();
});
