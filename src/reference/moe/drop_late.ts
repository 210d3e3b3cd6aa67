/** Twin of shaders/moe/drop_late.wgsl. ids and weights [T]; returns weights [T]. */
export function dropLate(ids: ArrayLike<number>, weights: ArrayLike<number>, capacity: number): number[] {
  const taken = new Map<number, number>();
  return Array.from({ length: ids.length }, (_, t) => {
    const before = taken.get(ids[t]!) ?? 0;
    taken.set(ids[t]!, before + 1);
    return before < capacity ? weights[t]! : 0;
  });
}
