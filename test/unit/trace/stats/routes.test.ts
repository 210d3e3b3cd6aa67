/** Small cases by hand: what follows what, and what goes with what. */
import { describe, expect, it } from 'vitest';
import { InvalidRequest } from '../../../../src/errors.ts';
import {
  agreementOf,
  capacityOf,
  coactivationOf,
  countsOf,
  dropTokens,
  flowOf,
  liftMatrix,
  overflowOf,
  pairOf,
  pathsOf,
  repetitionOf,
  reuseOf,
} from '../../../../src/trace/stats/index.ts';
import { ABSENT, type Trace } from '../../../../src/trace/trace.ts';
import { traceOf } from '../../../support/traces.ts';

/** One layer; `rows[token]` are its experts. */
const oneLayer = (rows: readonly (readonly number[])[], experts: number): Trace =>
  traceOf(
    rows.map((row) => [row]),
    experts,
  );
const inChats = (trace: Trace, chats: readonly number[]): Trace => ({
  ...trace,
  steps: trace.steps.map((s, t) => ({ ...s, chat: chats[t]! })),
});

describe('repetition', () => {
  const rows = [
    [0, 1],
    [0, 2],
    [2, 0],
    [3, 1],
  ];
  it('of four tokens', () => {
    const [one, two] = repetitionOf(oneLayer(rows, 4), 0, {}, [1, 2]);
    expect(one).toMatchObject({
      lag: 1,
      sameTop: { value: 1 / 3, n: 3 },
      overlap: { value: (1 / 2 + 1 + 0) / 3 },
      jaccard: { value: (1 / 3 + 1 + 0) / 3 },
      any: { value: 2 / 3, chance: { mean: expect.closeTo(5 / 6, 12) as number, how: 'exact' } },
      same: { value: 1 / 3, chance: { mean: expect.closeTo(1 / 6, 12) as number } },
    });
    expect(two).toMatchObject({ lag: 2, any: { value: 1 / 2, n: 2 }, sameTop: { value: 0 } });
  });

  it('stops at the end of a chat, and at gaps of a part', () => {
    const trace = inChats(oneLayer(rows, 4), [0, 0, 1, 1]);
    expect(repetitionOf(trace, 0)[0]!.any).toMatchObject({ value: 1 / 2, n: 2 });
    expect(repetitionOf(inChats(trace, [0, 1, 0, 1]), 0)[0]!.any).toEqual({ value: 0, chance: null, n: 0 });
  });

  it('leaves absent experts out, and says what smaller sets would have in common', () => {
    const trace = oneLayer(
      [
        [0, 1],
        [1, ABSENT],
        [ABSENT, ABSENT],
        [1, 2],
      ],
      4,
    );
    const [one, two] = repetitionOf(trace, 0, {}, [1, 2]);
    expect(one).toMatchObject({
      overlap: { value: 1, n: 1, chance: { mean: expect.closeTo(1 / 2, 12) as number } },
      jaccard: { value: 1 / 2 },
    });
    expect(two).toMatchObject({
      overlap: { value: 1 / 2, n: 1, chance: { mean: expect.closeTo(1 / 4, 12) as number } },
    });
  });
});

it('agreement goes token by token, as far as both reach', () => {
  const a = oneLayer(
    [
      [0, 1],
      [2, 3],
      [0, 2],
    ],
    4,
  );
  const b = oneLayer(
    [
      [1, 0],
      [2, 1],
    ],
    4,
  );
  expect(agreementOf({ trace: a }, { trace: b }, 0)).toMatchObject({
    overlap: { value: 0.75, n: 2 },
    sameTop: { value: 0.5 },
    same: { value: 0.5 },
  });
  expect(agreementOf({ trace: a, part: { from: 1 } }, { trace: b, part: { from: 1 } }, 0).overlap.value).toBe(0.5);
  expect(() => agreementOf({ trace: a }, { trace: oneLayer([[0, 1]], 5) }, 0)).toThrow(InvalidRequest);
});

describe('reuse', () => {
  it('counts tokens since, and other experts since', () => {
    const reuse = reuseOf(oneLayer([[0], [1], [0], [2], [1], [1]], 4), 0, {}, [1, 2]);
    expect([...reuse.gaps]).toEqual([0, 1, 1, 1]);
    expect([...reuse.distances]).toEqual([1, 1, 1, 0]);
    expect(reuse.first).toBe(3);
    expect(reuse.within.map(({ span, share }) => [span, share.value, share.n])).toEqual([
      [1, 1 / 5, 5],
      [2, 2 / 4, 4],
    ]);
    expect(reuse.within[1]!.share.chance!.mean).toBeCloseTo(1 - (3 / 4) ** 2, 12);
    // However often the other one was used since, it is one other.
    expect([...reuseOf(oneLayer([[0], [1], [1], [1], [0]], 4), 0).distances]).toEqual([2, 1, 0, 0]);
    const pairs = reuseOf(
      oneLayer(
        [
          [0, 1],
          [1, 2],
          [2, 3],
        ],
        4,
      ),
      0,
      {},
      [1],
    ).within[0]!.share;
    expect(pairs).toMatchObject({ value: 1 / 2, n: 4, chance: { mean: 1 / 2 } });
  });
});

describe('co-activation', () => {
  // One token of three experts: all three pairs, not only the neighbours 0-1 and 1-2 of its ranking.
  const co = coactivationOf(
    oneLayer(
      [
        [0, 1, 2],
        [0, 2, 3],
        [0, 1, 4],
      ],
      5,
    ),
    0,
  );
  it('counts all pairs', () => {
    expect([...co.pairs]).toEqual(
      [
        [3, 2, 2, 1, 1],
        [2, 2, 1, 0, 1],
        [2, 1, 2, 1, 0],
        [1, 0, 1, 1, 0],
        [1, 1, 0, 0, 1],
      ].flat(),
    );
    expect(co).toMatchObject({ experts: 5, tokens: 3, isEven: true });
  });
  it('gives P(j | i), lift, PMI, and their chance', () => {
    const pair = pairOf(co, 1, 2);
    expect(pair).toMatchObject({
      support: 1,
      conditional: { value: 1 / 2, n: 2, chance: { mean: 2 / 4, how: 'exact' } },
      lift: (1 * 3) / (2 * 2),
      pmi: Math.log2(3 / 4),
    });
    expect(pair.chanceLift).toBeCloseTo((5 * 2) / (3 * 4), 12);
    expect(pairOf(co, 1, 3)).toMatchObject({ support: 0, conditional: { value: 0 }, lift: 0, pmi: null });
    const lifts = liftMatrix(co, 2);
    expect(lifts[1]).toBe(1);
    expect([lifts[0], lifts[3], lifts[1 * 5 + 2]]).toEqual([NaN, NaN, NaN]);
  });
});

describe('flow', () => {
  const follows = traceOf(
    Array.from({ length: 200 }, (_, t) => [[t % 4], [(t % 4) ^ 1], [Math.floor(t / 4) % 4]]),
    4,
  );
  it('of a layer that follows another is all its bits, of one that does not none', () => {
    const { information, corrected, counts } = flowOf(follows, 0, 1);
    expect(information).toMatchObject({ value: expect.closeTo(2, 12) as number, n: 200 });
    expect(information.chance!.high).toBeLessThan(0.1);
    // 4 cells, 4 rows, 4 columns: the bias is (4 - 4 - 4 + 1) / (2 n ln 2).
    expect(corrected).toBeCloseTo(2 + 3 / (400 * Math.LN2), 12);
    expect([...counts.subarray(0, 4)]).toEqual([0, 50, 0, 0]);
    const apart = flowOf(follows, 0, 2);
    expect(apart.information.value).toBeLessThan(0.01);
    expect(flowOf(follows, 0, 1, { to: 0 }).information).toEqual({ value: 0, chance: null, n: 0 });
  });

  it('of paths', () => {
    const { tokens, distinct, paths } = pathsOf(follows, { from: 0, to: 2 });
    expect({ tokens, distinct }).toEqual({ tokens: 200, distinct: 4 });
    expect(paths[0]).toMatchObject({ experts: [0, 1], support: 50, share: 1 / 4, lift: 4, chance: { mean: 1 / 16 } });
    expect(pathsOf(follows, { from: 0, to: 2 }, {}, 2).paths).toHaveLength(2);
    expect(pathsOf(oneLayer([[ABSENT]], 2), { from: 0, to: 1 }).paths).toEqual([]);
    for (const window of [
      { from: 0, to: 4 },
      { from: 1, to: 1 },
      { from: 2, to: 1 },
      { from: -1, to: 1 },
    ])
      expect(() => pathsOf(follows, window), JSON.stringify(window)).toThrow(InvalidRequest);
  });
});

describe('capacity', () => {
  // Expert 0 is everybody's first choice but the last token's.
  const rows = [
    [0, 1],
    [0, 2],
    [0, 1],
    [1, 0],
  ];
  const trace: Trace = { ...oneLayer(rows, 3), weights: Float32Array.from([0.5, 0.5, 0.9, 0.1, 0.7, 0.3, 0.6, 0.4]) };

  it('serves first choices first, in the order of tokens or of their gates', () => {
    expect([capacityOf(0.75, 8, 3), capacityOf(0.8, 8, 3)]).toEqual([2, 3]);
    const by = (order: 'position' | 'gate'): number[] => [...dropTokens(trace, 0, { factor: 0.75, order }).dropped];
    expect(by('position')).toEqual([0, 0, 0, 0, 1, 1, 0, 1]);
    expect(by('gate')).toEqual([1, 1, 0, 0, 0, 0, 0, 1]);
    expect(dropTokens(trace, 0, { factor: 0.75, order: 'gate' })).toMatchObject({
      capacity: 2,
      lost: 1,
      overflow: 3 / 8,
    });
    const bare = { ...trace, weights: null };
    expect([...dropTokens(bare, 0, { factor: 0.75, order: 'gate' }).dropped]).toEqual(by('position'));
  });
  it('by counts is the same share', () => {
    expect(overflowOf(countsOf(trace), 0, 0.75)).toMatchObject({ value: 3 / 8, n: 4 });
    expect(overflowOf(countsOf(trace), 0, 4).value).toBe(0);
    expect(overflowOf(countsOf(trace, { to: 0 }), 0, 1)).toEqual({ value: 0, chance: null, n: 0 });
  });
});
