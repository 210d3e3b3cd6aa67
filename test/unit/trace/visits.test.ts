import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ABSENT, type Trace } from '../../../src/trace/trace.ts';
import { visitsOf } from '../../../src/trace/visits.ts';
import { anyTrace } from '../../support/traces.ts';

const prompt: Trace = {
  model: { name: 'm', layers: 2, experts: 5, topK: 2, expertBytes: [10, 10] },
  steps: [
    { phase: 'prefill', chat: 0, position: 0, tokens: 3 },
    { phase: 'decode', chat: 0, position: 3, tokens: 1 },
  ],
  // The last layer ran for the prompt's last token only.
  ids: Uint16Array.of(3, 1, ABSENT, ABSENT, 1, 2, ABSENT, ABSENT, 4, 3, 0, 4, 2, 0, 1, 3),
  weights: Float32Array.of(0.6, 0.2, 0, 0, 0.5, 0.5, 0, 0, 0.1, 0.3, 0.9, 0.1, 1, 1, 0, 0),
  origins: null,
};

test('a prompt is one visit a layer: each expert once, last mention last, shares summed', () => {
  const v = visitsOf(prompt);
  expect([...v.layer]).toEqual([0, 1, 0, 1]);
  expect([...v.isDecode]).toEqual([0, 0, 1, 1]);
  expect([...v.step]).toEqual([0, 0, 1, 1]);
  expect([...v.start]).toEqual([0, 4, 6, 8, 10]);
  expect([...v.experts]).toEqual([1, 2, 4, 3, 0, 4, 2, 0, 1, 3]);
  const expected = [0.25 + 0.5, 0.5, 0.25, 0.75 + 0.75, 0.9, 0.1, 0.5, 0.5, 0.5, 0.5]; // the last row has no weight at all
  v.weights.forEach((w, i) => expect(w).toBeCloseTo(expected[i]!, 6));
  expect(v.decodeTokens).toBe(1);
});

test('shares add up to the tokens, with weights and without', () => {
  fc.assert(
    fc.property(anyTrace, (trace) => {
      const v = visitsOf(trace);
      for (let i = 0; i < v.layer.length; i++) {
        const used = v.experts.subarray(v.start[i], v.start[i + 1]);
        expect(new Set(used).size).toBe(used.length);
        const sum = v.weights.subarray(v.start[i], v.start[i + 1]).reduce((a, b) => a + b, 0);
        expect(sum).toBeCloseTo(trace.steps[v.step[i]!]!.tokens, 4);
      }
    }),
  );
});
