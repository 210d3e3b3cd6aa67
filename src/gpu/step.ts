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

export const STEP_BYTES = 48;

/** @param out at least STEP_BYTES; reused from step to step */
export function writeStep(
  out: ArrayBuffer,
  tokens: number,
  position: number,
  sampling: SamplingParams = GREEDY,
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
  return out;
}
