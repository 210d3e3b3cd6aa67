/** Walks through a mask with made-up logits. */
import type { TokenMask } from '../../../../../src/text/grammar/index.ts';

/** exp(logit) */
export type Weight = (id: number) => number;

export const allowedIds = ({ bits }: TokenMask): number[] => {
  const ids: number[] = [];
  bits.forEach((word, w) => {
    for (let rest = word; rest !== 0; rest &= rest - 1) ids.push(32 * w + 31 - Math.clz32(rest & -rest));
  });
  return ids;
};

/** One draw at temperature 1. */
function draw(ids: readonly number[], weight: Weight, random: () => number): number {
  let sum = 0;
  for (const id of ids) sum += weight(id);
  let left = random() * sum;
  for (const id of ids) if ((left -= weight(id)) < 0) return id;
  return ids.at(-1)!;
}

/** @returns ids without the end token; ends where the mask or the sampler ends, or after `most` tokens */
export function walk(mask: TokenMask, weight: Weight, random: () => number, most: number, end: number): number[] {
  const ids: number[] = [];
  while (!mask.isDone && ids.length < most) {
    const allowed = allowedIds(mask);
    if (allowed.length === 0) throw new Error(`an empty mask after ${ids.join()}`);
    const id = draw(allowed, weight, random);
    if (id === end) return ids;
    mask.accept(id);
    ids.push(id);
  }
  return ids;
}
