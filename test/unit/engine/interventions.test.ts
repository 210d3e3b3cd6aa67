import { describe, expect, it } from 'vitest';
import { NO_INTERVENTIONS, resolveInterventions, type Interventions } from '../../../src/engine/interventions.ts';
import { InvalidRequest } from '../../../src/errors.ts';
import { interventionBytes } from '../../../src/kernels/moe/intervention.ts';

const LAYERS = [
  { experts: 8, topK: 2 },
  { experts: 70, topK: 4 },
];
const resolve = (options: Interventions): ReturnType<typeof resolveInterventions> =>
  resolveInterventions(options, LAYERS);

describe('interventions', () => {
  it.each<Interventions>([{}, { mask: [], force: [], routerBias: [] }, { topK: [2, 4] }, { routerBias: [[0, 3, 0]] }])(
    'that change nothing are none: %j',
    (options) => {
      expect(resolve(options)).toBe(NO_INTERVENTIONS);
      expect(resolveInterventions(undefined, LAYERS)).toBe(NO_INTERVENTIONS);
    },
  );

  it('lie layer by layer: experts a token, forced ones, a rule for each expert; a layer without any is zero', () => {
    const { words } = resolve({ mask: [[1, 0]], force: [[1, 69]], routerBias: [[1, 5, -0.5]], topK: [2, 3] });
    const floats = new Float32Array(words!.buffer);
    const from = interventionBytes(8) / 4;
    expect(words!.length).toBe(from + interventionBytes(70) / 4);
    expect(words!.subarray(0, from).every((w) => w === 0)).toBe(true);
    expect([...words!.subarray(from, from + 4)]).toEqual([3, 1, 0, 0]);
    const rules = floats.subarray(from + 4, from + 4 + 70);
    expect([rules[0], rules[5], rules[69]]).toEqual([-Infinity, -0.5, Infinity]);
    expect(rules.filter((r) => r !== 0).length).toBe(3);
  });

  it('say in words what they change', () => {
    expect(
      resolve({
        mask: [
          [0, 1],
          [1, 2],
        ],
      }).labels,
    ).toEqual(['experts masked (layer:expert): 0:1, 1:2']);
    expect(resolve({ force: [[1, 2]] }).labels).toEqual(['experts forced: 1:2']);
    expect(resolve({ topK: 1 }).labels).toEqual(['experts a token by layer, 0: 1 of 2, 1: 1 of 4']);
    expect(resolveInterventions({ topK: 1 }, [LAYERS[0]!]).labels).toEqual(['experts a token 1 of 2']);
    expect(
      resolve({
        routerBias: [
          [0, 1, 0.5],
          [0, 2, -1],
        ],
      }).labels,
    ).toEqual(['router biased: 0:1 +0.5, 0:2 -1']);
  });

  it('have a key that tells them apart, whatever their order', () => {
    const key = (options: Interventions): string => resolve(options).key;
    expect(
      key({
        mask: [
          [0, 1],
          [0, 2],
        ],
      }),
    ).toBe(
      key({
        mask: [
          [0, 2],
          [0, 1],
        ],
      }),
    );
    const others: Interventions[] = [
      { mask: [[0, 1]] },
      { mask: [[1, 1]] },
      { force: [[0, 1]] },
      { routerBias: [[0, 1, 1]] },
      { routerBias: [[0, 1, 2]] },
      { topK: 1 },
      { topK: [1, 4] },
      {},
    ];
    expect(new Set(others.map(key)).size).toBe(others.length);
  });

  it.each<[string, Interventions, RegExp]>([
    ['a layer that is not there', { mask: [[2, 0]] }, /mask names expert 0 of MoE layer 2; there are 2 MoE layers/],
    ['an expert that is not there', { force: [[0, 8]] }, /force names expert 8 of MoE layer 0/],
    ['half an expert', { mask: [[0, 0.5]] }, /expert 0.5/],
    ['a bias that is no number', { routerBias: [[0, 0, NaN]] }, /must be a finite number, got NaN/],
    ['a bias beyond f32', { routerBias: [[0, 0, 1e39]] }, /must be a finite number/],
    ['no experts a token', { topK: 0 }, /topK must be a whole number from 1 to 2, got 0/],
    ['more than the model has', { topK: 3 }, /from 1 to 2, got 3/],
    ['part of an expert a token', { topK: 1.5 }, /got 1.5/],
    ['too few layers', { topK: [1] }, /topK has 1 numbers, the model 2 MoE layers/],
    ['masked and forced', { mask: [[0, 1]], force: [[0, 1]] }, /two things of expert 1 of MoE layer 0/],
    [
      'two biases',
      {
        routerBias: [
          [0, 1, 1],
          [0, 1, 2],
        ],
      },
      /two things/,
    ],
    [
      'more forced than used',
      {
        force: [
          [0, 1],
          [0, 2],
        ],
        topK: [1, 4],
      },
      /force 2 experts of MoE layer 0, of which a token uses 1/,
    ],
    [
      'fewer left than used',
      { mask: [0, 1, 2, 3, 4, 5, 6].map((e) => [0, e] as const) },
      /leave 1 experts of MoE layer 0, of which a token uses 2/,
    ],
  ])('refuses %s', (_, options, message) => {
    expect(() => resolve(options)).toThrow(InvalidRequest);
    expect(() => resolve(options)).toThrow(message);
  });

  it('of a model without experts are refused, but for none', () => {
    expect(resolveInterventions({ topK: [] }, [])).toBe(NO_INTERVENTIONS);
    expect(() => resolveInterventions({ mask: [[0, 0]] }, [])).toThrow(/there are 0 MoE layers/);
  });
});
