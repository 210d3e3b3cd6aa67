/** Makes the expert store of a planned model: slots on the GPU, whatever fits, and who fills them. */
import { OutOfBudget } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { ExpertHomes } from '../moe/homes.ts';
import type { SlotLayout } from '../moe/slots.ts';
import { slotTableStride } from './activations.ts';
import type { Plan } from './plan.ts';
import type { ModelConfig } from '../config/model-config.ts';
import { expertSpecs } from './describe/specs.ts';
import type { PlannedModel } from './open.ts';

/** Of the slots that did not fit, so many are tried next. */
const SHRINK = 0.75;

/** Plans to try when the GPU has less room than planned: fewer and fewer slots, down to the fewest. */
export function* smallerPlans({ plan, replan }: Pick<PlannedModel, 'plan' | 'replan'>): Generator<Plan> {
  for (let at = plan; ;) {
    yield at;
    const { count, minimum, experts } = at.slots;
    if (count <= minimum) return;
    const share = (SHRINK * count) / experts;
    const next = replan({ expertsResident: share * experts < minimum ? 0 : share });
    if (next.slots.count >= count) return;
    at = next;
  }
}

/**
 * Slots for as many experts as were planned or, where the GPU has no room for them, as fit.
 * @throws OutOfBudget when not even the fewest fit
 */
export async function allocateHomes(
  gpu: Gpu,
  config: ModelConfig,
  planned: PlannedModel,
): Promise<{ readonly homes: ExpertHomes; readonly plan: Plan }> {
  const slots: SlotLayout[] = expertSpecs(planned.spec).map((x) => x.slot);
  let refusal: OutOfBudget | undefined;
  for (const plan of smallerPlans(planned)) {
    try {
      return { homes: await ExpertHomes.create(gpu, plan.arenas, slots, slotTableStride(config)), plan };
    } catch (error) {
      if (!(error instanceof OutOfBudget)) throw error;
      refusal = error;
    }
  }
  throw refusal!;
}
