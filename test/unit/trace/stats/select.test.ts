import { describe, expect, it } from 'vitest';
import { InvalidRequest } from '../../../../src/errors.ts';
import {
  chatsOf,
  countsFrom,
  countsOf,
  loadStats,
  probabilitiesAt,
  rowsOf,
} from '../../../../src/trace/stats/index.ts';
import { ABSENT, type Trace } from '../../../../src/trace/trace.ts';

/** Two chats, prompts of 2 and 1, two layers of 3 and 4 experts; the second layer takes one expert, and none for token 0. */
const trace: Trace = {
  model: { name: 'by hand', layers: 2, experts: 4, topK: 2, expertBytes: [1, 1] },
  steps: [
    { phase: 'prefill', chat: 0, position: 0, tokens: 2 },
    { phase: 'decode', chat: 0, position: 2, tokens: 1 },
    { phase: 'prefill', chat: 1, position: 0, tokens: 1 },
    { phase: 'decode', chat: 1, position: 1, tokens: 1 },
  ],
  ids: Uint16Array.from(
    [
      [0, 1, ABSENT, ABSENT],
      [1, 2, 3, ABSENT],
      [2, 1, 3, ABSENT],
      [0, 2, 0, ABSENT],
      [1, 0, 2, ABSENT],
    ].flat(),
  ),
  weights: Float32Array.from(
    [
      [0.75, 0.25, 0, 0],
      [0.5, 0.5, 1, 0],
      [1, 0, 1, 0],
      [0.5, 0.25, 1, 0],
      [0.5, 0.5, 1, 0],
    ].flat(),
  ),
  origins: null,
  logits: Float32Array.from(
    [0, 1, 2, 3, 4].flatMap((t) => [
      0,
      Math.log(2),
      0,
      NaN,
      ...(t === 0 ? [NaN, NaN, NaN, NaN] : [0, 0, 0, Math.log(5)]),
    ]),
  ),
  scoring: 'softmax',
};

describe('rows of a part', () => {
  it.each([
    [undefined, [0, 1, 2, 3, 4]],
    [{}, [0, 1, 2, 3, 4]],
    [{ phase: 'decode' }, [2, 4]],
    [{ phase: 'prefill', chat: 0 }, [0, 1]],
    [{ chats: [1, 7] }, [3, 4]],
    [{ chats: [0, 1], chat: 1, from: 4 }, [4]],
    [{ from: 1, to: 4 }, [1, 2, 3]],
    [{ from: 1, to: 2, phase: 'decode' }, []],
    [{ chats: [] }, []],
  ] as const)('%j: %j', (part, rows) => {
    expect([...rowsOf(trace, part)]).toEqual(rows);
  });
  it('have the chat of their step', () => {
    expect([...chatsOf(trace)]).toEqual([0, 0, 0, 1, 1]);
  });
});

describe('counts', () => {
  it('are of what is there: absent experts, smaller layers', () => {
    const counts = countsOf(trace);
    expect(counts).toMatchObject({ layers: 2, experts: 4, topK: 2, tokens: 5 });
    expect([...counts.counts]).toEqual([3, 4, 3, 0, 1, 0, 1, 2]);
    expect([...counts.weights!]).toEqual([1.75, 1.25, 1.75, 0, 1, 0, 1, 2]);
    const [p, q] = [1 / 4, 1 / 8];
    [p, 2 * p, p, 0, q, q, q, 5 * q].forEach((x, i) => expect(counts.probs![i]).toBeCloseTo(x, 7));
    expect(counts.shapes).toEqual([
      { experts: 3, taking: [0, 0, 5] },
      { experts: 4, taking: [1, 4, 0] },
    ]);
    // The first layer has three experts: none is unused.
    expect(loadStats(counts, 0)).toMatchObject({ unused: { value: 0, n: 5 }, cv: { n: 5 } });
    expect(loadStats(counts, 1)).toMatchObject({ unused: { value: 0.25, n: 4 } });
  });

  it('of a part are those of its tokens', () => {
    expect([...countsOf(trace, { chat: 1 }).counts]).toEqual([2, 1, 1, 0, 1, 0, 1, 0]);
    expect(countsOf({ ...trace, weights: null, logits: null })).toMatchObject({ weights: null, probs: null });
    expect(countsOf({ ...trace, scoring: null }).probs).toBeNull();
  });

  it('from elsewhere are checked', () => {
    expect(countsFrom([[2, 1, 1]], 2)).toMatchObject({ layers: 1, experts: 3, tokens: 2, topK: 2 });
    for (const rows of [
      [[2, 1]],
      [
        [1, 1],
        [2, 2],
      ],
      [[3, 1, 0]],
      [[1.5, 0.5]],
      [[-1, 3]],
      [
        [1, 1],
        [1, 1, 0],
      ],
      [],
    ])
      expect(() => countsFrom(rows, 2), JSON.stringify(rows)).toThrow(InvalidRequest);
  });
});

it('probabilities of sigmoid routers are scores over their sum', () => {
  const out = new Float64Array(4);
  expect(probabilitiesAt({ ...trace, scoring: 'sigmoid' }, 1, 1, out)).toBe(true);
  const total = 3 * 0.5 + 5 / 6;
  [0.5, 0.5, 0.5, 5 / 6].forEach((s, e) => expect(out[e]).toBeCloseTo(s / total, 7));
  expect(probabilitiesAt(trace, 0, 1, out)).toBe(false);
  expect(probabilitiesAt({ ...trace, scoring: null }, 1, 1, out)).toBe(false);
});
