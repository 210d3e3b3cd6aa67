import { describe, expect, it } from 'vitest';
import { resolveSampling, samplingDefaults, type SamplingOptions } from '../../../src/engine/sampling.ts';
import { InvalidCheckpoint, InvalidRequest } from '../../../src/errors.ts';
import { GREEDY, STEP_BYTES, writeStep } from '../../../src/gpu/step.ts';

const caught = (run: () => unknown): unknown => {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
};

describe('resolveSampling', () => {
  it('is greedy when neither the checkpoint nor the caller says otherwise', () => {
    expect(resolveSampling(undefined, undefined)).toEqual({ ...GREEDY, seed: expect.any(Number) as number });
    expect(resolveSampling({ topP: 0.5 }, { doSample: false, temperature: 0.7 }).temperature).toBe(0);
    expect(resolveSampling({ seed: 3 }, { temperature: 0.7 }).temperature).toBe(0);
  });

  it('takes what the checkpoint recommends', () => {
    const defaults = { doSample: true, temperature: 0.7, topK: 20, topP: 0.8, minP: 0.05, repetitionPenalty: 1.05 };
    const { doSample, ...values } = defaults;
    expect(doSample).toBe(true);
    expect(resolveSampling({ seed: 1 }, defaults)).toEqual({
      ...values,
      presencePenalty: 0,
      frequencyPenalty: 0,
      seed: 1,
    });
    expect(resolveSampling({ seed: 1 }, { doSample: true, topP: null })).toEqual({
      ...GREEDY,
      temperature: 1,
      seed: 1,
    });
  });

  it('lets the caller win, down to greedy', () => {
    const defaults = { doSample: true, temperature: 0.7, topK: 20, topP: 0.8 };
    expect(resolveSampling({ temperature: 0, topK: 0, topP: 1, seed: 9 }, defaults)).toEqual({ ...GREEDY, seed: 9 });
    const chosen = resolveSampling({ temperature: 1.5, presencePenalty: -0.5, frequencyPenalty: 0.25 }, { topK: 20 });
    expect(chosen).toMatchObject({ temperature: 1.5, topK: 20, presencePenalty: -0.5, frequencyPenalty: 0.25 });
  });

  it.each<[keyof SamplingOptions, unknown]>([
    ['temperature', -0.1],
    ['temperature', NaN],
    ['temperature', Infinity],
    ['temperature', '1'],
    ['temperature', null],
    ['topK', -1],
    ['topK', 2.5],
    ['topP', 0],
    ['topP', 1.01],
    ['minP', 1],
    ['minP', -0.1],
    ['repetitionPenalty', 0],
    ['presencePenalty', NaN],
    ['frequencyPenalty', Infinity],
    ['seed', 1.5],
    ['seed', '7'],
    ['seed', 2 ** 60],
  ])('refuses %s = %s by name', (field, value) => {
    const error = caught(() => resolveSampling({ [field]: value }, { doSample: true }));
    expect(error).toBeInstanceOf(InvalidRequest);
    expect((error as InvalidRequest).message).toContain(field);
    expect((error as InvalidRequest).details).toMatchObject({ field });
  });

  it.each([
    ['temperature', { temperature: -1 }],
    ['top_k', { topK: -1 }],
    ['top_p', { topP: 2 }],
    ['min_p', { minP: 1 }],
    ['repetition_penalty', { repetitionPenalty: 0 }],
  ])('refuses a checkpoint with a bad %s by its own name', (key, bad) => {
    const error = caught(() => resolveSampling({}, { doSample: true, ...bad }));
    expect(error).toBeInstanceOf(InvalidCheckpoint);
    expect((error as InvalidCheckpoint).message).toContain(`generation_config.json: ${key} `);
  });

  it('accepts the edges', () => {
    const edges = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1e-3, seed: 0 };
    expect(resolveSampling(edges, {})).toMatchObject(edges);
  });

  it('reports the seed that counts', () => {
    expect(resolveSampling({ seed: -1 }, {}).seed).toBe(2 ** 32 - 1);
    expect(resolveSampling({ seed: 2 ** 32 + 5 }, {}).seed).toBe(5);
    const drawn = Array.from({ length: 4 }, () => resolveSampling({}, {}).seed);
    expect(new Set(drawn).size).toBeGreaterThan(1);
    expect(drawn.every((s) => Number.isInteger(s) && s >= 0 && s < 2 ** 32)).toBe(true);
  });

  it('survives the way into the step uniform', () => {
    const params = resolveSampling({ temperature: 0.5, topK: 2 ** 40, minP: 0.25, seed: -1 }, {});
    const bytes = writeStep(new ArrayBuffer(STEP_BYTES), 1, 5, params);
    expect([...new Uint32Array(bytes, 8, 2)]).toEqual([2 ** 32 - 1, 2 ** 32 - 1]);
    expect([...new Float32Array(bytes, 16, 3)]).toEqual([0.5, 1, 0.25]);
  });

  it('leaves routing exact unless told otherwise', () => {
    const bytes = new ArrayBuffer(STEP_BYTES);
    const approximate = { keepExperts: 3, dropBelow: 0.5, cachePrior: 0.25, priorKeep: 2 };
    const tail = (): number[] => {
      const [u, f] = [new Uint32Array(bytes, 40), new Float32Array(bytes, 40)];
      return [u[0]!, f[1]!, f[2]!, u[3]!];
    };
    writeStep(bytes, 1, 5, GREEDY, approximate);
    expect(tail()).toEqual([3, 0.5, 0.25, 2]);
    writeStep(bytes, 1, 5);
    expect(tail()).toEqual([0, 0, 0, 0]);
  });
});

it('tells what a request that asks for nothing gets', () => {
  const off = { topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, presencePenalty: 0, frequencyPenalty: 0 };
  expect(samplingDefaults()).toEqual({ ...off, temperature: 0 });
  expect(samplingDefaults({ doSample: true, temperature: 0.6, topP: 0.95, topK: 20 })).toEqual({
    ...off,
    temperature: 0.6,
    topP: 0.95,
    topK: 20,
  });
});
