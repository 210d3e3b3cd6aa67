/**
 * How many experts are on the GPU at once, and where. Layers whose experts have slots of one size form arenas: buffers of slots, each within
 * one binding. An expert of a layer lives in its arena only, in any slot of it.
 */
import { OutOfBudget } from '../errors.ts';
import type { ArenaShape as Arena } from '../moe/homes.ts';
import { sum } from '../util/math.ts';

export type { ArenaShape as Arena } from '../moe/homes.ts';

/** One MoE layer, as far as slots go. */
export interface LayerSlots {
  readonly label: string;
  readonly slotBytes: number;
  readonly experts: number; // E
  readonly topK: number; // K
}

const arenaOf = (layers: readonly number[], slotBytes: number, slots: number): Arena => ({
  layers,
  slotBytes,
  slots,
  bytes: slots * slotBytes,
});

/** Every expert has a slot. null when one layer alone exceeds a binding. */
export function fullArenas(layers: readonly LayerSlots[], bindingBytes: number): readonly Arena[] | null {
  const arenas: { layers: number[]; slotBytes: number; slots: number }[] = [];
  for (const [layer, { slotBytes, experts }] of layers.entries()) {
    if (slotBytes * experts > bindingBytes) return null;
    const last = arenas.at(-1);
    if (last?.slotBytes === slotBytes && (last.slots + experts) * slotBytes <= bindingBytes) {
      last.layers.push(layer);
      last.slots += experts;
    } else arenas.push({ layers: [layer], slotBytes, slots: experts });
  }
  return arenas.map((a) => arenaOf(a.layers, a.slotBytes, a.slots));
}

/** Layers that may share arenas: the same slot size. */
function classes(layers: readonly LayerSlots[]): { readonly layers: readonly number[]; readonly slotBytes: number }[] {
  const bySize = new Map<number, number[]>();
  layers.forEach(({ slotBytes }, layer) => bySize.set(slotBytes, [...(bySize.get(slotBytes) ?? []), layer]));
  return [...bySize].map(([slotBytes, own]) => ({ layers: own, slotBytes }));
}

/** One token's experts of one layer, and one to spare: what an arena works with at least. */
function leastSlots(layers: readonly LayerSlots[], own: readonly number[]): number {
  const most = Math.max(...own.map((l) => layers[l]!.topK)) + 1;
  return Math.min(most, sum(own.map((l) => layers[l]!.experts)));
}

/**
 * About `share` (0 to 1) of the experts have slots, but at least K + 1 an arena. Arenas are as few as bindings allow: the larger one is, the
 * better its experts share it.
 * @throws OutOfBudget when K + 1 slots exceed a binding
 */
export function partialArenas(layers: readonly LayerSlots[], bindingBytes: number, share: number): readonly Arena[] {
  return classes(layers).flatMap(({ layers: own, slotBytes }) => {
    const least = leastSlots(layers, own);
    const most = Math.floor(bindingBytes / slotBytes);
    if (most < least) {
      // A layer that has no more experts than a token takes needs none to spare: each has an arena of its own, and all its experts are there.
      if (own.every((l) => layers[l]!.experts <= most))
        return own.map((l) => arenaOf([l], slotBytes, layers[l]!.experts));
      const { label } = layers[own[0]!]!;
      throw new OutOfBudget(
        `${least} of the ${label} take ${least * slotBytes} bytes, more than this GPU binds at once (${bindingBytes}); load with weights: "q4", or on a GPU with larger bindings`,
        { label, bytes: least * slotBytes, bindingBytes },
      );
    }
    const experts = sum(own.map((l) => layers[l]!.experts));
    const wanted = Math.max(least, Math.min(experts, Math.floor(experts * share)));
    let groups: Group[];
    let count = Math.min(own.length, Math.ceil(wanted / most), Math.floor(wanted / least)) - 1;
    do groups = groupsOf(layers, own, ++count, least, most);
    while (sum(groups.map((g) => g.most)) < wanted && count < Math.min(own.length, Math.floor(wanted / least)));
    return dealt(groups, wanted).map((slots, i) => arenaOf(groups[i]!.layers, slotBytes, slots));
  });
}

interface Group {
  readonly layers: readonly number[];
  readonly experts: number;
  readonly least: number;
  readonly most: number;
}

/** `count` runs of about as many layers each. */
function groupsOf(
  layers: readonly LayerSlots[],
  own: readonly number[],
  count: number,
  least: number,
  most: number,
): Group[] {
  return Array.from({ length: count }, (_, i) => {
    const group = own.slice(Math.floor((i * own.length) / count), Math.floor(((i + 1) * own.length) / count));
    const experts = sum(group.map((l) => layers[l]!.experts));
    return { layers: group, experts, least: Math.min(least, experts), most: Math.min(most, experts) };
  });
}

/** `wanted` slots for some groups, by how many experts they have, within what each takes; exactly as many, if they take them. */
function dealt(groups: readonly Group[], wanted: number): number[] {
  const experts = sum(groups.map((g) => g.experts));
  const slots = groups.map((g) => Math.max(g.least, Math.min(g.most, Math.floor((wanted * g.experts) / experts))));
  for (let over = sum(slots) - wanted; over !== 0;) {
    const way = Math.sign(over);
    const movable = groups.map((g, i) => (way > 0 ? slots[i]! > g.least : slots[i]! < g.most));
    // Whoever has most for its experts gives, whoever has least takes.
    const fullness = groups.map((g, i) => (movable[i] ? (way * slots[i]!) / g.experts : -Infinity));
    const at = fullness.indexOf(Math.max(...fullness));
    if (!movable[at]) break;
    slots[at]! -= way;
    over -= way;
  }
  return slots;
}

/**
 * As many slots as `bytes` hold, but at least K + 1 an arena.
 * @throws OutOfBudget when K + 1 slots exceed a binding
 */
export function fittingArenas(layers: readonly LayerSlots[], bindingBytes: number, bytes: number): readonly Arena[] {
  let tooMuch = Math.max(0, Math.min(1, bytes / sum(layers.map((l) => l.slotBytes * l.experts))));
  const most = partialArenas(layers, bindingBytes, tooMuch);
  if (arenaBytes(most) <= bytes) return most;
  // Layers that need more than their share to work at all leave less for those of other sizes.
  let [fits, arenas] = [0, partialArenas(layers, bindingBytes, 0)];
  for (let i = 0; i < 40; i++) {
    const share = (fits + tooMuch) / 2;
    const tried = partialArenas(layers, bindingBytes, share);
    if (arenaBytes(tried) <= bytes) [fits, arenas] = [share, tried];
    else tooMuch = share;
  }
  return arenas;
}

export const arenaBytes = (arenas: readonly Arena[]): number => sum(arenas.map((a) => a.bytes));
export const arenaSlots = (arenas: readonly Arena[]): number => sum(arenas.map((a) => a.slots));
