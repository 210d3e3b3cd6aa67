/** The one uniform that changes from step to step; its fields are those of `struct Step` in shaders/shared/step.wgsl, in order. */

export interface SamplingParams {
  /** 0 means greedy. */
  readonly temperature: number;
  /** 0 keeps every token. */
  readonly topK: number;
  /** 1 keeps every token. */
  readonly topP: number;
  /** 0 keeps every token; otherwise those at least this share as likely as the best. */
  readonly minP: number;
  /** 1 changes nothing; above 1, logits of tokens seen so far are divided (positive) or multiplied (negative) by it. */
  readonly repetitionPenalty: number;
  /** Subtracted once from the logit of every token generated so far. */
  readonly presencePenalty: number;
  /** Subtracted from the logit once for each time the token was generated. */
  readonly frequencyPenalty: number;
  readonly seed: number;
}

/** What only some requests ask of the sampler; what is absent costs nothing. */
export interface DrawOptions {
  /** Logits are raised by the request's bias. */
  readonly isBiased?: boolean;
  /** Only tokens of the request's mask may be drawn. */
  readonly isMasked?: boolean;
  /** How many of the likeliest tokens to name; 0 names none. */
  readonly topLogprobs?: number;
}

const drawWord = ({ isBiased = false, isMasked = false, topLogprobs = 0 }: DrawOptions): number =>
  Number(isBiased) | (Number(isMasked) << 1) | (topLogprobs << 8);

export const GREEDY: SamplingParams = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  seed: 0,
};

/** Ways to need fewer of the experts that are not on the GPU, at the price of other results: see kernels/moe/route.ts. */
export interface ApproximateParams {
  /** Only the n best of a token's K chosen experts are used; 0 uses all. */
  readonly keepExperts: number;
  /** A chosen expert that is missing is dropped when it weighs less than this share of its token's mean weight; 0 drops none. */
  readonly dropBelow: number;
  /** Selection keys of experts that are on the GPU are raised by this share of the span of the token's keys; 0 raises none. */
  readonly cachePrior: number;
  /** Keys of the J best experts are raised alike, wherever they are. */
  readonly priorKeep: number;
}

export const EXACT: ApproximateParams = { keepExperts: 0, dropBelow: 0, cachePrior: 0, priorKeep: 0 };

/**
 * Which of its two copies of a recurrent state a step reads; it writes the other. A step that runs again, whole or from some layer on, so finds what
 * it started from.
 */
export type StateSide = 0 | 1;

export const STEP_BYTES = 64;

/** @param out at least STEP_BYTES; reused from step to step */
export function writeStep(
  out: ArrayBuffer,
  tokens: number,
  position: number,
  sampling: SamplingParams & DrawOptions = GREEDY,
  approximate: ApproximateParams = EXACT,
  side: StateSide = 0,
): ArrayBuffer {
  const u = new Uint32Array(out);
  const f = new Float32Array(out);
  u[0] = tokens;
  u[1] = position;
  u[2] = sampling.seed >>> 0;
  u[3] = sampling.topK;
  f[4] = sampling.temperature;
  f[5] = sampling.topP;
  f[6] = sampling.minP;
  f[7] = sampling.repetitionPenalty;
  f[8] = sampling.presencePenalty;
  f[9] = sampling.frequencyPenalty;
  u[10] = approximate.keepExperts;
  f[11] = approximate.dropBelow;
  f[12] = approximate.cachePrior;
  u[13] = approximate.priorKeep;
  u[14] = drawWord(sampling);
  u[15] = side;
  return out;
}
