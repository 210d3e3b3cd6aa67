/** Spans of labelled tokens: the likeliest row of labels against all rows, and where its spans are. */
import { expect, it, test } from 'vitest';
import { likeliestLabels, spansOf } from '../../../src/engine/spans.ts';
import { normals } from '../../support/random.ts';

const NAMES = ['O', 'B-a', 'I-a', 'E-a', 'S-a', 'B-b', 'I-b', 'E-b', 'S-b'];
/** Rows in which every span is whole. */
const WHOLE = /^(O |S-\w |B-a (I-a )*E-a |B-b (I-b )*E-b )*$/;

function rowsOf(tokens: number): number[][] {
  if (tokens === 0) return [[]];
  return rowsOf(tokens - 1).flatMap((row) => NAMES.map((_, n) => [...row, n]));
}

it.each([1, 2, 3, 4])('finds the likeliest of all whole rows of %i tokens', (tokens) => {
  const whole = rowsOf(tokens).filter((row) => WHOLE.test(row.map((n) => `${NAMES[n]!} `).join('')));
  for (let seed = 0; seed < 20; seed++) {
    const logits = Float32Array.from(normals(100 * tokens + seed, tokens * NAMES.length, 2));
    const sum = (row: readonly number[]): number => row.reduce((n, at, t) => n + logits[t * NAMES.length + at]!, 0);
    const best = whole.reduce((a, b) => (sum(b) > sum(a) ? b : a));
    expect(likeliestLabels(logits, NAMES)).toEqual(best);
  }
});

/** Logits that are `sure` for these labels. */
const certain = (labels: readonly string[], sure = 5): Float32Array =>
  Float32Array.from(labels.flatMap((label) => NAMES.map((name) => (name === label ? sure : 0))));

/** A token for each word, the blank in front its own. */
function found(text: string, ...labels: string[]): string[] {
  let at = 0;
  const places = text.match(/ ?[^ ]+/g)!.map((piece) => [at, (at += piece.length)] as const);
  const spans = spansOf(text, certain(labels), { names: NAMES, places });
  for (const { start, end, text: part } of spans) expect(text.slice(start, end)).toBe(part);
  return spans.map(({ text: part, label }) => `${label}: ${part}`);
}

test.each([
  ['two singles side by side', ['S-a', 'S-a', 'O'], ['a: x', 'a: y']],
  ['three in one', ['B-a', 'I-a', 'E-a'], ['a: x y z']],
  ['an end without a beginning', ['O', 'O', 'E-a'], []],
  ['one behind another', ['B-a', 'E-a', 'S-b'], ['a: x y', 'b: z']],
  ['nothing', ['O', 'O', 'O'], []],
])('%s', (_, labels, want) => expect(found('x y z', ...labels)).toEqual(want));

it('scores with the mean of probabilities, and leaves out blanks', () => {
  const logits = new Float32Array([...certain(['B-a']), ...certain(['E-a'], 3), ...certain(['S-b'])]);
  const places = [
    [0, 3],
    [3, 6],
    [6, 7],
  ] as const;
  const share = (sure: number): number => Math.exp(sure) / (Math.exp(sure) + NAMES.length - 1);
  const score = expect.closeTo((share(5) + share(3)) / 2, 6) as number;
  const spans = spansOf(' ab cd ', logits, { names: NAMES, places });
  expect(spans).toEqual([{ start: 1, end: 6, text: 'ab cd', label: 'a', score }]);
});
