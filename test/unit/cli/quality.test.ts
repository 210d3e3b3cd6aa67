/** Perplexity and divergence of two lists of logits, against the definitions in other words. */
import { expect, test } from 'vitest';
import { comparison } from '../../../src/cli/quality/compare.ts';
import { normals } from '../../support/random.ts';

const VOCAB = 7;
const softmax = (row: ArrayLike<number>): number[] => {
  const all = Array.from(row, Math.exp);
  const total = all.reduce((a, b) => a + b, 0);
  return all.map((x) => x / total);
};

test('perplexity, KL and agreement of random logits', () => {
  const windows = [
    [3, 1, 6, 0, 2],
    [5, 5, 4],
  ];
  const compared = comparison({ first: 'a', second: 'b', vocab: VOCAB });
  const [losses, others, kls]: [number[], number[], number[]] = [[], [], []];
  let same = 0;
  windows.forEach((ids, w) => {
    const [a, b] = [normals(10 + w, ids.length * VOCAB), normals(20 + w, ids.length * VOCAB)];
    compared.add(ids, a, b);
    for (let t = 0; t < ids.length - 1; t++) {
      const [p, q] = [a, b].map((x) => softmax(x.subarray(t * VOCAB, (t + 1) * VOCAB))) as [number[], number[]];
      losses.push(-Math.log(p[ids[t + 1]!]!));
      others.push(-Math.log(q[ids[t + 1]!]!));
      kls.push(p.reduce((n, x, i) => n + x * Math.log(x / q[i]!), 0));
      if (p.indexOf(Math.max(...p)) === q.indexOf(Math.max(...q))) same++;
    }
  });
  const mean = (values: number[]): number => values.reduce((x, y) => x + y, 0) / values.length;
  const found = compared.result();
  expect([found.tokens, found.windows]).toEqual([6, 2]);
  expect(found.first.perplexity.value).toBeCloseTo(Math.exp(mean(losses)), 5);
  expect(found.second.perplexity.value).toBeCloseTo(Math.exp(mean(others)), 5);
  expect(found.lossDifference.value).toBeCloseTo(mean(others) - mean(losses), 5);
  expect(found.kl.mean.value).toBeCloseTo(mean(kls), 5);
  expect(found.kl.most).toBeCloseTo(Math.max(...kls), 5);
  expect(found.sameBest.value).toBe(same / 6);
  const spread = Math.sqrt(kls.map((k) => (k - mean(kls)) ** 2).reduce((x, y) => x + y, 0) / 5 / 6);
  expect(found.kl.mean.standardError).toBeCloseTo(spread, 5);
});

test('the same logits diverge by nothing', () => {
  const compared = comparison({ first: 'a', second: 'a', vocab: VOCAB });
  const logits = normals(1, 4 * VOCAB, 3);
  compared.add([1, 2, 3, 4], logits, logits);
  const { kl, sameBest, lossDifference } = compared.result();
  expect([kl.mean.value, kl.most, sameBest.value, lossDifference.value]).toEqual([0, 0, 1, 0]);
});
