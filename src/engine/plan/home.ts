/** Where experts live: all in slots of the GPU, or as many as fit, with what streams the others. */
import { InvalidRequest } from '../../errors.ts';
import { bufferBytes } from '../../gpu/buffer.ts';
import { STEP_BYTES } from '../../gpu/step.ts';
import { QUANTIZE_PARAMS_BYTES } from '../../kernels/repack/quantize.ts';
import { sum } from '../../util/math.ts';
import { sameLayout } from '../../weights/layout.ts';
import {
  arenaBytes,
  arenaSlots,
  fittingArenas,
  fullArenas,
  partialArenas,
  type Arena,
  type LayerSlots,
} from '../arenas.ts';
import { expertSpecs, type ModelSpec } from '../describe/specs.ts';
import type { Plan, PlanOptions } from '../plan.ts';

/** Records on their way to slots at a time. */
export const RING_SLOTS = 4;
/** Rows of floats that are quantised at a time, twice this at most. */
export const BLOCK_BYTES = 2 * 2 ** 20;
export const QUANTIZER_BYTES = 2 * BLOCK_BYTES + bufferBytes(QUANTIZE_PARAMS_BYTES) + STEP_BYTES;

export const layerSlots = (spec: ModelSpec): LayerSlots[] =>
  expertSpecs(spec).map(({ label, slot, count, topK }) => ({ label, slotBytes: slot.bytes, experts: count, topK }));

export interface Room {
  readonly bindingBytes: number;
  /** Of everything but experts and what streams them. */
  readonly restBytes: number;
  readonly budgetBytes: number;
}

/**
 * All in slots when they fit, else as many as fit.
 * @throws InvalidRequest for a share of experts that is none
 */
export function planHome(
  spec: ModelSpec,
  { bindingBytes, restBytes, budgetBytes }: Room,
  { expertsResident: wanted }: PlanOptions,
): Pick<Plan, 'arenas' | 'verdict' | 'slots' | 'fullBytes' | 'minimumBytes'> & { readonly staging: number } {
  if (wanted !== undefined && !(wanted >= 0 && wanted <= 1)) {
    throw new InvalidRequest(`expertsResident must be a share from 0 to 1, got ${wanted}`, { expertsResident: wanted });
  }
  const layers = layerSlots(spec);
  const staging = stagingBytes(spec);
  const full = fullArenas(layers, bindingBytes);
  const allExpertBytes = sum(layers.map((l) => l.slotBytes * l.experts));
  const fullBytes = restBytes + allExpertBytes;
  const minimum = layers.length ? partialArenas(layers, bindingBytes, 0) : [];
  const leastBytes = restBytes + staging + arenaBytes(minimum);
  const minimumBytes = full ? Math.min(fullBytes, leastBytes) : leastBytes;
  const facts = (arenas: readonly Arena[]): Pick<Plan, 'arenas' | 'slots' | 'fullBytes' | 'minimumBytes'> => ({
    arenas,
    slots: {
      count: arenaSlots(arenas),
      experts: sum(layers.map((l) => l.experts)),
      minimum: arenaSlots(minimum),
      bytesEach: Math.max(0, ...layers.map((l) => l.slotBytes)),
    },
    fullBytes,
    minimumBytes,
  });
  if (full && (wanted === undefined ? fullBytes <= budgetBytes : wanted >= 1)) {
    const verdict = fullBytes > budgetBytes ? 'does-not-fit' : fullBytes > 0.9 * budgetBytes ? 'tight' : 'fits';
    return { ...facts(full), verdict, staging: 0 };
  }
  const arenas =
    wanted === undefined
      ? fittingArenas(layers, bindingBytes, budgetBytes - restBytes - staging)
      : partialArenas(layers, bindingBytes, wanted);
  const fits = restBytes + staging + arenaBytes(arenas) <= budgetBytes;
  return { ...facts(arenas), verdict: fits ? 'streams' : 'does-not-fit', staging };
}

/** Buffers that stay while experts stream: see upload.ts and fetch.ts. */
function stagingBytes(spec: ModelSpec): number {
  const experts = expertSpecs(spec);
  if (experts.length === 0) return 0;
  const slot = Math.max(...experts.map((x) => x.slot.bytes));
  const quantizes = experts.some((x) => {
    const { gate, up, down } = x.matrices(0);
    return (
      !sameLayout(gate.layout, x.slot.gateUp) ||
      !sameLayout(up.layout, x.slot.gateUp) ||
      !sameLayout(down.layout, x.slot.down)
    );
  });
  return RING_SLOTS * slot + (quantizes ? QUANTIZER_BYTES : 0);
}
