/** The buckets of T5's relative positions: near distances have one each, further ones share them by their logarithm. */
import type { DistanceBias, GroupedAttention } from '../config/model-config.ts';

/** Bucket of a distance of at least 0, among `buckets`; in f32, as published models were trained: a boundary may lie on a whole number. */
function bucketOf(distance: number, buckets: number, furthest: number): number {
  const exact = Math.floor(buckets / 2);
  if (distance < exact) return distance;
  const f = Math.fround;
  const share = f(f(Math.log(f(distance / exact))) / f(Math.log(furthest / exact)));
  return Math.min(buckets - 1, exact + Math.trunc(f(share * (buckets - exact))));
}

export const bucketCount = ({ furthest }: DistanceBias): number => 2 * furthest + 1;

/** [2 furthest + 1], from distance -furthest on: the distance is that of the key's position less the query's. */
export function bucketTable(
  { buckets, furthest }: DistanceBias,
  sees: GroupedAttention['sees'],
): Uint32Array<ArrayBuffer> {
  const isBoth = sees === 'step';
  const ofOneSide = isBoth ? buckets / 2 : buckets;
  return Uint32Array.from({ length: 2 * furthest + 1 }, (_, i) => {
    const distance = i - furthest;
    if (distance > 0) return isBoth ? ofOneSide + bucketOf(distance, ofOneSide, furthest) : 0;
    return bucketOf(-distance, ofOneSide, furthest);
  });
}
