/** Options that trade exactness for fewer missing experts: off unless asked for, and named wherever their output shows. */
import { InvalidRequest } from '../errors.ts';
import { EXACT, type ApproximateParams } from '../gpu/step.ts';

export type ApproximateOptions = Partial<ApproximateParams>;

/** @throws InvalidRequest for values that make no sense */
export function resolveApproximate(options: ApproximateOptions = {}): ApproximateParams {
  const params = { ...EXACT, ...options };
  for (const name of ['keepExperts', 'priorKeep'] as const) {
    if (!Number.isInteger(params[name]) || params[name] < 0)
      throw new InvalidRequest(`${name} must be a whole number of at least 0, got ${params[name]}`, { option: name });
  }
  for (const name of ['dropBelow', 'cachePrior'] as const) {
    if (!(params[name] >= 0 && params[name] <= 1000))
      throw new InvalidRequest(`${name} must be a number from 0 to 1000, got ${params[name]}`, { option: name });
  }
  return params;
}

/** In words, one entry an option; none: exact. */
export function approximations({ keepExperts, dropBelow, cachePrior }: ApproximateParams): string[] {
  return [
    ...(keepExperts > 0 ? [`at most ${keepExperts} experts a token and layer`] : []),
    ...(dropBelow > 0 ? [`missing experts below ${dropBelow} of a token's mean weight dropped`] : []),
    ...(cachePrior > 0 ? [`experts on the GPU preferred by ${cachePrior} of the keys' span`] : []),
  ];
}
