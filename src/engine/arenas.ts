/**
 * How many experts are on the GPU at once, and where. Layers whose experts have slots of one size form arenas: buffers of slots, each within
 * one binding. An expert of a layer lives in its arena only, in any slot of it.
 */
import { OutOfBudget } from '../errors.ts';
import { sum } from '../util/math.ts';

export interface Arena {
  /** MoE layers (counted among MoE layers) whose experts live here. */
  readonly layers: readonly number[];
  readonly slotBytes: number;
  /** As many as these layers have experts, or fewer. */
  readonly slots: number;
  readonly bytes: number;
}

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
      const { label } = layers[own[0]!]!;
      throw new OutOfBudget(
        `${least} of the ${label} take ${least * slotBytes} bytes, more than this GPU binds at once (${bindingBytes}); load with weights: "q4", or on a GPU with larger bindings`,
        { label, bytes: least * slotBytes, bindingBytes },
      );
    }
    const experts = sum(own.map((l) => layers[l]!.experts));
    const wanted = Math.max(least, Math.min(experts, Math.floor(experts * share)));
    const count = Math.min(own.length, Math.ceil(wanted / most), Math.floor(wanted / least));
    return Array.from({ length: count }, (_, i) => {
      const group = own.slice(Math.floor((i * own.length) / count), Math.floor(((i + 1) * own.length) / count));
      const here = sum(group.map((l) => layers[l]!.experts));
      const slots = Math.floor((wanted * here) / experts);
      return arenaOf(group, slotBytes, Math.max(Math.min(least, here), Math.min(slots, most, here)));
    });
  });
}

export const arenaBytes = (arenas: readonly Arena[]): number => sum(arenas.map((a) => a.bytes));
export const arenaSlots = (arenas: readonly Arena[]): number => sum(arenas.map((a) => a.slots));
