/** Records what follows the layers: the final norm, and the head, which makes logits of it. */
import type { ModelConfig } from '../../config/model-config.ts';
import type { BufferView } from '../../gpu/buffer.ts';
import type { Recorder } from '../../gpu/recording.ts';
import type { LinearOptions } from '../../kernels/linear/linear.ts';
import { linear } from '../../layers/linear.ts';
import { norm } from '../../layers/norm.ts';
import type { ActivationName } from '../activations.ts';
import type { DeviceWeights } from '../upload.ts';
import { finalResidual } from './residual.ts';

export interface HeadParts {
  readonly config: ModelConfig;
  readonly weights: DeviceWeights;
  readonly activations: Readonly<Record<ActivationName, BufferView>>;
}

/** Logits of the tokens that `which` names, into `logits`. */
export function recordHead(r: Recorder, parts: HeadParts, which: Pick<LinearOptions, 'phase' | 'row'>): void {
  const { config, activations: a } = parts;
  const { norm: kind, normEps, finalNormEps: eps = normEps, head } = config;
  const { finalNorm: gamma, head: weights, headBias: bias } = parts.weights;
  const io = { weights, out: a.logits, bias };
  const { scale, softcap } = head;
  const options = { ...which, scale, softcap };
  if (kind === 'rms') linear(r, 'head', { ...io, x: finalResidual(config, a), gamma }, { ...options, eps });
  else {
    recordFinalNorm(r, parts, a.normed);
    linear(r, 'head', { ...io, x: a.normed }, options);
  }
}

/** Final norm and logits of every token of the step, as `Forward.allLogits` gives them. */
export function recordAllLogits(
  r: Recorder,
  parts: HeadParts,
  { out, normed, outRow }: { readonly out: BufferView; readonly normed: BufferView; readonly outRow?: number },
): void {
  recordFinalNorm(r, parts, normed);
  const { head: weights, headBias: bias } = parts.weights;
  const { scale, softcap } = parts.config.head;
  const options = { phase: 'prefill', scale, softcap, ...(outRow && { outRow }) } as const;
  linear(r, 'head', { x: normed, weights, bias, out }, options);
}

/** Final norm of every token of the step, into `out` [T, D]. */
export function recordFinalNorm(r: Recorder, { config, weights, activations }: HeadParts, out: BufferView): void {
  const { hidden: size, norm: kind, normEps, finalNormEps: eps = normEps } = config;
  const x = finalResidual(config, activations);
  norm(r, 'final norm', { x, gamma: weights.finalNorm, out }, { kind, size, eps });
}
