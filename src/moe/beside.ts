/** The dense feed-forwards beside a layer's experts: a shared expert, a branch of its own; and how what all give becomes one sum. */
import { valueRows } from '../config/activation.ts';
import type { MoeFfn } from '../config/model-config.ts';
import type { BufferView } from '../gpu/buffer.ts';
import type { Recorder } from '../gpu/recording.ts';
import { besideAt, type Beside } from '../kernels/moe/beside.ts';
import { rmsNorm } from '../kernels/norm/rms_norm.ts';
import { denseLayer, feedForward } from '../layers/ffn.ts';
import { linear } from '../layers/linear.ts';
import { addNormed, norm } from '../layers/norm.ts';
import { onlyPart } from '../layers/parts.ts';
import { invariant } from '../util/assert.ts';
import type { MoeParts, MoeStep } from './step.ts';

/** In `withShared`: norm(x) and the bias of the experts' sum. */
export function normedStream(
  r: Recorder,
  { streamNorm: gamma, shared, parallel }: MoeParts,
  { label, hidden: size, normKind: kind, eps, x, scratch, postNorm }: MoeStep,
): BufferView {
  invariant(gamma && !shared && !parallel && !postNorm, `${label}: a normed stream that experts alone join`);
  norm(r, `${label} stream`, { x, gamma, out: scratch.withShared }, { kind, size, eps });
  return scratch.withShared;
}

/**
 * The dense FFN beside the experts, with norms of its own, in `withShared`: norm(ffn(norm(x))), or without post norms x + ffn(norm(x)). `out` is free
 * until the end.
 * @returns what joins the sum of the experts; undefined where both are normed first
 */
export function parallelBranch(
  r: Recorder,
  { activation, parallel: branch }: MoeFfn,
  { parallel, shared }: MoeParts,
  s: MoeStep,
): BufferView | undefined {
  const { label, phase, eps, x, out, scratch, postNorm } = s;
  if (!parallel || branch?.behind) return postNorm ? undefined : x;
  const size = parallel.gateUp.cols;
  const of = { label: `${label} dense`, phase, activation, weights: parallel, hidden: scratch.dense };
  if (!postNorm) {
    invariant(!shared, `${label}: a shared expert and a dense feed-forward beside the experts`);
    const { normed, withShared } = scratch;
    denseLayer(r, { ...s, ...of, gamma: parallel.norm, normed, out: withShared });
    return withShared;
  }
  invariant(parallel.postNorm, `${label}: a dense feed-forward without a norm of what it gives`);
  const dense = { ...of, scale: 1, out };
  rmsNorm(r, `${label} dense norm`, { x, gamma: parallel.norm, out: scratch.normed }, { size, eps });
  feedForward(r, { ...dense, x: scratch.normed });
  rmsNorm(r, `${label} dense post norm`, { x: out, gamma: parallel.postNorm, out: scratch.withShared }, { size, eps });
  return undefined;
}

/**
 * The shared expert as entries of the experts' dispatches; null where it has its own: on a software adapter, whose lanes take its rows by four or
 * eight without a barrier, when its matrices are in parts, when its values are made of products by a dispatch of their own, and when an adapter adds to it or
 * to the experts.
 */
export function besideOf(
  { gpu }: Recorder,
  { topK, width, weightsOn, activation }: MoeFfn,
  { shared, router, experts, latent }: MoeParts,
  { hidden, most, scratch }: MoeStep,
): Beside | null {
  if (weightsOn === 'input' || latent) return null; // it reads other rows than the experts
  if (valueRows(activation) === 3) return null;
  if (experts.lowRank || shared?.gateUp.lowRank || shared?.down.lowRank) return null;
  if (gpu.facts.kernels === 'software' || shared?.gateUp.parts.length !== 1 || shared.down.parts.length !== 1)
    return null;
  return {
    gateUp: onlyPart(shared.gateUp),
    down: onlyPart(shared.down),
    actAt: besideAt(most * topK, width),
    yAt: besideAt(most * topK, hidden),
    ...(router.block.sharedGate ? { weight: scratch.sharedWeight } : {}),
  };
}

/** @returns x, or what else the experts' sum joins, and with it what the shared expert gives */
export function sharedExpert(
  r: Recorder,
  { activation }: MoeFfn,
  { shared, router }: MoeParts,
  s: MoeStep,
  residual: BufferView | undefined,
): BufferView | undefined {
  const { label, phase, postNorm, scratch } = s;
  if (!shared) return residual;
  feedForward(r, {
    label: `${label} shared`,
    phase,
    activation,
    weights: shared,
    x: scratch.normed,
    hidden: scratch.dense,
    scale: postNorm ? 1 : s.scale,
    residual,
    ...(router.block.sharedGate ? { rowScale: scratch.sharedWeight } : {}),
    out: scratch.withShared,
  });
  return scratch.withShared;
}

/**
 * What goes up from the latent of the sum in `normed`, or what a post norm makes of it, where there is either; the sum is that of both branches, where there
 * are two.
 */
export function addSum(
  r: Recorder,
  { parallel, latent }: MoeParts,
  s: MoeStep,
  residual: BufferView | undefined,
): void {
  const { label, phase, scale, hidden: size, eps, postNorm, scratch, out } = s;
  if (latent) {
    invariant(residual, `${label}: experts in a latent, with a norm behind them`);
    const io = { x: scratch.normed, weights: latent.up, residual, out };
    linear(r, `${label} latent up`, io, { phase, scale });
  }
  if (!postNorm) return;
  let sum = scratch.normed;
  if (parallel) {
    invariant(parallel.expertsPostNorm, `${label}: experts without a norm of what they give`);
    const io = { x: sum, gamma: parallel.expertsPostNorm, residual: scratch.withShared, out: scratch.y };
    rmsNorm(r, `${label} experts post norm`, io, { size, eps });
    sum = scratch.y;
  }
  addNormed(r, s, sum, postNorm, size);
}
