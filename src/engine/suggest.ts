/** When memory ran out: what to load instead, by what the GPU did have room for. */
import { OutOfBudget } from '../errors.ts';
import type { LoadOptions } from './load.ts';
import { planOpened, type OpenedModel, type PlanLimits } from './open.ts';
import type { Plan } from './plan.ts';
import type { Precision } from './precision.ts';
import type { PreparedModel } from './prepare.ts';

/** Options for `load` under which the model fits. */
export interface SuggestedPlan {
  readonly gpuBytes: number;
  readonly contextLength: number;
  readonly weights: Precision;
}

export interface SuggestInput {
  readonly opened: OpenedModel;
  readonly limits: PlanLimits;
  readonly wishes: LoadOptions;
  /** What was tried. */
  readonly from: Plan;
}

/** No shorter context is offered: a question and its answer would not fit. */
const LEAST_CONTEXT = 256;
const PRECISIONS: readonly Precision[] = ['as-is', 'q8', 'q4'];

/**
 * The plan nearest to what was asked for that takes no more than `roomBytes`: with fewer slots for experts, else with a shorter context, else with
 * fewer bits, else with both; null when none does.
 */
export function suggestPlan({ opened, limits, wishes, from }: SuggestInput, roomBytes: number): SuggestedPlan | null {
  for (const weights of PRECISIONS.slice(PRECISIONS.indexOf(from.precision))) {
    for (const contextLength of shorter(from.contextLength)) {
      const plan = planOrNull(() => {
        const options = { ...wishes, contextLength, gpuBytes: roomBytes, expertsResident: undefined };
        return planOpened(opened, limits, weights, options).plan;
      });
      if (plan && plan.verdict !== 'does-not-fit') return { gpuBytes: roomBytes, contextLength, weights };
    }
  }
  return null;
}

function* shorter(contextLength: number): Generator<number> {
  yield contextLength;
  for (let at = contextLength >> 1; at >= LEAST_CONTEXT; at >>= 1) yield at;
}

function planOrNull(make: () => Plan): Plan | null {
  try {
    return make();
  } catch (error) {
    if (error instanceof OutOfBudget) return null;
    throw error;
  }
}

/** As an `OutOfBudget` carries it. */
export const suggestedDetails = (
  suggested: SuggestedPlan | null,
): { readonly suggested: SuggestedPlan | null; readonly suggestedGpuBytes: number | null } => ({
  suggested,
  suggestedGpuBytes: suggested?.gpuBytes ?? null,
});

/** The same refusal, with what to load instead. */
export function withSuggestion(refusal: OutOfBudget, prepared: PreparedModel): OutOfBudget {
  const { message, details } = refusal;
  const { opened, limits, wishes, planned } = prepared;
  const room = Number(details.allocatedBytes);
  const suggested = suggestPlan({ opened, limits, wishes, from: planned.plan }, room);
  const advice = suggested
    ? `It fits with gpuBytes: ${suggested.gpuBytes}, contextLength: ${suggested.contextLength}, weights: "${suggested.weights}"`
    : 'Close other tabs and programs that use the graphics card, or load a smaller model';
  return new OutOfBudget(`${message}. ${advice}`, { ...details, ...suggestedDetails(suggested) }, { cause: refusal });
}
