/** Orders that put alike things beside each other. */

/**
 * A chain: it begins with the most similar pair and takes, again and again, what is most similar to either of its ends. Ties go to the lower number, so
 * that the order depends on nothing but the values.
 * @param similarity [n, n], symmetric; NaN: nothing known, less than any number
 */
export function chainOrder(similarity: ArrayLike<number>, n: number): readonly number[] {
  const of = (i: number, j: number): number => {
    const value = similarity[i * n + j]!;
    return Number.isNaN(value) ? -Infinity : value;
  };
  if (n < 3) return Array.from({ length: n }, (_, i) => i);
  let [first, second] = [0, 1];
  for (let i = 0; i < n; i++)
    for (let j = i + 1; j < n; j++) if (of(i, j) > of(first, second)) [first, second] = [i, j];
  const chain = [first, second];
  const left = new Set(Array.from({ length: n }, (_, i) => i).filter((i) => i !== first && i !== second));
  while (left.size > 0) {
    const [head, tail] = [chain[0]!, chain.at(-1)!];
    const best = (end: number): number => [...left].reduce((a, b) => (of(end, b) > of(end, a) ? b : a));
    const [before, after] = [best(head), best(tail)];
    if (of(head, before) > of(tail, after)) chain.unshift(before);
    else chain.push(after);
    left.delete(of(head, before) > of(tail, after) ? before : after);
  }
  return chain;
}
