/** One run's numbers, from what the caller asks. */
import type { LayerStep } from '../config/moe-layer.ts';
import { InvalidRequest } from '../errors.ts';
import { capacityOf } from './capacity.ts';
import type { ForwardOptions } from './moe-layer.ts';
import type { LayerPlan } from './options.ts';

/** @param nextStep where the caller names none @throws InvalidRequest */
export function stepOf(
  x: Float32Array | GPUBuffer,
  options: ForwardOptions,
  { shape, maxTokens, capacity, seed }: LayerPlan,
  nextStep: number,
): LayerStep {
  const { training = false, token_ids } = options;
  const tokens = options.tokens ?? (x instanceof Float32Array ? x.length / shape.hidden : 0);
  if (!Number.isInteger(tokens) || tokens < 1 || tokens > maxTokens)
    throw new InvalidRequest(`MoE layer: ${tokens} tokens; give 1 to max_tokens ${maxTokens}`, { tokens, maxTokens });
  if (x instanceof Float32Array ? x.length !== tokens * shape.hidden : x.size < 4 * tokens * shape.hidden)
    throw new InvalidRequest(`MoE layer: x does not hold ${tokens} tokens of ${shape.hidden} values`, { tokens });
  if (shape.chooses === 'hash' && token_ids?.length !== tokens)
    throw new InvalidRequest('MoE layer: the router hash needs token_ids, one a token', { tokens });
  const sequence = options.sequence_length ?? tokens;
  if (!Number.isInteger(sequence) || sequence < 1)
    throw new InvalidRequest(`MoE layer: sequence_length ${sequence} must be a whole number above 0`, { sequence });
  const factor = training ? capacity?.train : capacity?.eval;
  return {
    tokens,
    training,
    capacity: capacity && factor ? capacityOf(tokens, shape.experts, { ...capacity, factor }) : Infinity,
    seed,
    step: options.step ?? nextStep,
    sequence,
  };
}
