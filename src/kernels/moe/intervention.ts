/**
 * What one request changes in the choice of one MoE layer, as the router reads it: four words (experts that a token uses, forced experts, 0, 0), then
 * one word an expert, the bits of an f32. All zero: the layer routes as published.
 *
 *   -Infinity   masked: never chosen. It takes no part in ranking groups.
 *   Infinity    forced: always among the chosen, in place of the lowest. Its key, and with it its place among the chosen, stays.
 *   any other   is added to the expert's selection key, before groups are ranked.
 *
 * Weights are what the router gives: from the plain scores of the experts used, renormalised and scaled as the family does. Pairs beyond the experts
 * used get weight 0 and the id of the best pair, so that they bring no expert in.
 */
import { BINDING_ALIGNMENT } from '../../gpu/buffer.ts';
import { invariant } from '../../util/assert.ts';
import { alignUp } from '../../util/math.ts';

export interface LayerIntervention {
  /** Experts that a token uses, 1 to K. */
  readonly uses: number;
  readonly rules: ArrayLike<number>; // [E]
}

const HEADER = 4;

/** From one layer's intervention to the next: a uniform binding must start on a multiple of 256. */
export const interventionBytes = (experts: number): number => alignUp(4 * (HEADER + experts), BINDING_ALIGNMENT);

/** The words of one layer; null: nothing is changed. */
export function interventionWords(experts: number, intervention: LayerIntervention | null): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(interventionBytes(experts) / 4);
  if (!intervention) return words;
  const { uses, rules } = intervention;
  invariant(uses >= 1 && rules.length === experts, `an intervention of ${uses} experts with ${rules.length} rules`);
  const forced = Array.from(rules).filter((rule) => rule === Infinity).length;
  invariant(forced <= uses, `${forced} experts are forced, ${uses} used`);
  words.set([uses, forced]);
  new Float32Array(words.buffer).set(rules, HEADER);
  return words;
}
