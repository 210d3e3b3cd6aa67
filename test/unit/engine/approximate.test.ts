import { describe, expect, it } from 'vitest';
import { approximations, resolveApproximate } from '../../../src/engine/approximate.ts';
import { InvalidRequest } from '../../../src/errors.ts';
import { EXACT } from '../../../src/gpu/step.ts';

describe('approximate', () => {
  it('is exact unless asked, and then says nothing', () => {
    expect(resolveApproximate()).toEqual(EXACT);
    expect(resolveApproximate({})).toEqual(EXACT);
    expect(approximations(EXACT)).toEqual([]);
  });

  it('names each option that changes answers', () => {
    expect(approximations(resolveApproximate({ keepExperts: 3 }))).toEqual(['at most 3 experts a token and layer']);
    expect(approximations(resolveApproximate({ dropBelow: 0.4 }))).toEqual([
      "missing experts below 0.4 of a token's mean weight dropped",
    ]);
    expect(approximations(resolveApproximate({ cachePrior: 0.05 }))).toEqual([
      "experts on the GPU preferred by 0.05 of the keys' span",
    ]);
    expect(approximations(resolveApproximate({ keepExperts: 3, dropBelow: 0.4, cachePrior: 0.05 })).length).toBe(3);
  });

  it('priorKeep alone raises nothing and needs no label', () => {
    expect(approximations(resolveApproximate({ priorKeep: 2 }))).toEqual([]);
  });

  it.each([
    ['keepExperts', -1],
    ['keepExperts', 1.5],
    ['keepExperts', NaN],
    ['keepExperts', Infinity],
    ['priorKeep', -1],
    ['priorKeep', 0.5],
    ['dropBelow', -0.1],
    ['dropBelow', NaN],
    ['dropBelow', Infinity],
    ['dropBelow', 1001],
    ['cachePrior', -0.1],
    ['cachePrior', NaN],
    ['cachePrior', 1001],
  ])('%s = %s is refused by name', (option, value) => {
    let error: unknown;
    try {
      resolveApproximate({ [option]: value });
    } catch (e) {
      error = e;
    }
    expect(error).toBeInstanceOf(InvalidRequest);
    expect((error as InvalidRequest).message).toContain(`${option} must be`);
    expect((error as InvalidRequest).message).toContain(String(value));
    expect((error as InvalidRequest).details).toEqual({ option });
  });

  it('accepts the ends of the ranges', () => {
    expect(resolveApproximate({ keepExperts: 1, dropBelow: 1000, cachePrior: 1000, priorKeep: 0 })).toEqual({
      keepExperts: 1,
      dropBelow: 1000,
      cachePrior: 1000,
      priorKeep: 0,
    });
  });
});
