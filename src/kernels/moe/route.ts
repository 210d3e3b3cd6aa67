import type { NormKind, RouterConfig } from '../../config/model-config.ts';
import type { BufferView } from '../../gpu/buffer.ts';
import { foldGrid, type Recorder } from '../../gpu/recording.ts';
import type { Constants } from '../../gpu/shader.ts';
import { invariant } from '../../util/assert.ts';
import { alignUp, ceilDiv } from '../../util/math.ts';
import { CHUNK, hasScales, weightFormat } from '../../weights/layout.ts';
import { interventionBytes } from './intervention.ts';
import { routerRows, type RouterBlock } from './router_block.ts';

export interface RouteIo {
  /** The residual stream. */
  readonly x: BufferView; // [T, D]
  /** This layer's router block; with `predict`, the next MoE layer's behind it. */
  readonly router: BufferView;
  /** What the router reads in place of `normed`. */
  readonly early?: BufferView; // [T, D]
  readonly normed: BufferView; // [T, D] out
  /** Of each token K ids by descending selection key, then the bits of their K f32 weights; behind all tokens what `predict` and `logits` add. */
  readonly routed: BufferView; // [T, 2K] out; with `predict`, [T, predictedIds] follow; with `logits`, [T, E] f32 follow
  /** sigmoid(sharedGate . normed); comes with the block's shared gate. */
  readonly sharedWeight?: BufferView; // [T] out
  /** Slot of each expert, or MISSING_SLOT. With it the step's `ApproximateParams` count; without it routing is exact. */
  readonly slotTable?: BufferView; // [E]
  /** Of this layer; with `predict`, the next MoE layer's behind it. A uniform: see intervention.ts. Without it nothing is changed. */
  readonly interventions?: BufferView; // interventionBytes(E) each
}

export interface RouteShape {
  readonly block: RouterBlock; // E at most 512
  readonly topK: number; // K, at most 32
  readonly router: RouterConfig;
  /** Of x, where the block has a norm. Default RMS. */
  readonly norm?: NormKind;
  /** Of the norm. */
  readonly eps: number;
  /** Also run the next MoE layer's norm, router and selection on this layer's x: which experts that layer is likely to take. Default false. */
  readonly predict?: boolean;
  /** Also write the router's logits, biases of the router included. Default false. */
  readonly logits?: boolean;
  /** Multiplies `normed`; the router and the shared gate read it as it was. Default 1. */
  readonly inputScale?: number;
  /** Experts from this id on have no weights: with a slot table they count as there. Absent: all have. */
  readonly weighted?: number;
}

export const MAX_EXPERTS = 512;
export const MAX_TOP_K = 32;
/** Values between the two maps of a router: workgroup memory holds their parts. */
export const MAX_INNER = 512;

/** Default limit of WebGPU. */
const STORAGE_BUFFERS = 8;
/** Lanes that share a router row, in the shader. */
const PARTS = 4;
/** Chunks of a token that workgroup memory holds at a time, at most: 2 KiB. */
const MOST_CHUNKS = 16;
/** Weights of a router above which one workgroup of 64 would take longer than the launch: 256 lanes then. */
const SMALL_ROUTER = 32768;
/** Predicted experts beyond K: the next layer's own choice is among them more often than among the first K. */
const PREDICTED_BEYOND = 2;

/** Experts of the next MoE layer that `predict` names for a token, best first. */
export const predictedIds = (topK: number, experts: number): number => Math.min(experts, topK + PREDICTED_BEYOND);

/** Byte offset in `routed` of what is predicted for the first of `tokens` tokens. */
export const predictedAt = (tokens: number, topK: number): number => tokens * topK * 2 * 4;

/** Byte offset in `routed` of the first token's logits; with no token's logits, its size. */
export const logitsAt = (tokens: number, topK: number, predicted = 0): number =>
  predictedAt(tokens, topK) + tokens * predicted * 4;

/** Bytes of `routed`: ids and weights, `predicted` ids and `logits` logits a token. */
export const routedBytes = (tokens: number, topK: number, predicted = 0, logits = 0): number =>
  logitsAt(tokens, topK, predicted) + tokens * logits * 4;

/**
 * Norm, router logits, scores, selection, weights: all that comes before the experts, in one dispatch.
 *
 * With a slot table, by the step's parameters and in this order:
 *   cachePrior, priorKeep   key += cachePrior * (highest - lowest key of the experts that take part) for those of them that are on the GPU or among
 *                           the priorKeep best; groups are ranked before, weights come from the plain scores (cache-prior routing, arXiv 2412.00099)
 *   keepExperts             pairs from this place on are dropped
 *   dropBelow               so are pairs of missing experts whose weight is below dropBelow / K of the sum of all K
 * A dropped pair gets weight 0 and the id of the best pair that is kept, so that it brings no expert in; the others are scaled to the sum of all K. If
 * all would be dropped, the first is kept.
 *
 * Interventions come before all that: see intervention.ts.
 */
export function route(recorder: Recorder, label: string, io: RouteIo, shape: RouteShape): void {
  const { x, early, router, normed, routed, sharedWeight, slotTable, interventions } = io;
  const { block, predict = false, logits = false, inputScale = 1 } = shape;
  check(label, io, shape);
  const format = weightFormat(block.layout, { rows: routerRows(block), cols: block.hidden });
  const scaled = hasScales(block.layout);
  const bindings = {
    values: router,
    ...(scaled ? { scales: router } : {}),
    vectors: router,
    x,
    normed,
    routed,
    ...(sharedWeight ? { shared_weight: sharedWeight } : {}),
    ...(slotTable ? { slot_table: slotTable } : {}),
    ...(early ? { early } : {}),
  };
  const stride = interventionBytes(block.experts);
  invariant(
    !interventions || interventions.size >= (predict ? 2 : 1) * stride,
    `${label}: interventions of ${interventions?.size} bytes`,
  );
  invariant(Object.keys(bindings).length <= STORAGE_BUFFERS, `${label}: too many buffers`);
  recorder.dispatch({
    shader: 'moe/route',
    label,
    constants: {
      ...format.constants,
      ...sizes(shape),
      ...blockConstants(block),
      ...productConstants(block),
      ...routerConstants(shape.router),
      SCALED: scaled,
      PREDICT: predict,
      ...approximateConstants(slotTable !== undefined, shape.weighted),
      LOGITS: logits,
      EARLY: early !== undefined,
      INPUT_SCALED: inputScale !== 1,
      ...(inputScale === 1 ? {} : { INPUT_SCALE: inputScale }),
      INTERVENE: interventions !== undefined,
      ...(interventions ? { INTERVENTION_VEC4: stride / 16 } : {}),
      ...(predict ? { PREDICTED: predictedIds(shape.topK, block.experts) } : {}),
    },
    imports: format.imports,
    bindings: { ...bindings, ...(interventions ? { interventions } : {}) },
    grid: ({ tokens }) => foldGrid(tokens, predict ? 2 : 1),
  });
}

function check(label: string, { router: view, sharedWeight }: RouteIo, shape: RouteShape): void {
  const { block, topK, router, predict } = shape;
  const { experts } = block;
  const blocks = predict ? 2 : 1;
  invariant(view.size >= blocks * block.bytes, `${label}: ${view.size} bytes do not hold ${blocks} router blocks`);
  invariant(experts <= MAX_EXPERTS && topK <= Math.min(experts, MAX_TOP_K), `${label}: top ${topK} of ${experts}`);
  invariant(block.normBias === (shape.norm === 'layer-biased'), `${label}: bias of the norm`);
  invariant(
    block.norm !== false || !(block.normBias || block.routerGains),
    `${label}: parts of a norm that is not there`,
  );
  invariant((block.attends ?? false) === (router.attends ?? false), `${label}: experts that attend`);
  const { inner = 0 } = router;
  invariant((block.inner ?? 0) === inner && !(inner && router.attends), `${label}: a router of two maps`);
  invariant(!inner || (inner <= MAX_INNER && PARTS * inner >= experts), `${label}: ${inner} values between two maps`);
  invariant(
    router.deviation === undefined || (!router.logitBias && experts > 1),
    `${label}: biased logits of a given deviation, or one alone`,
  );
  invariant(block.logitBias === router.logitBias, `${label}: logit bias`);
  invariant(block.selectionBias === router.selectionBias, `${label}: selection bias`);
  const { expertScale = false, gains = false } = router;
  invariant(block.expertScale === expertScale && block.routerGains === gains, `${label}: gains and scales`);
  invariant(block.sharedGate === !!sharedWeight, `${label}: the shared gate and its output come together`);
  invariant(
    typeof router.score === 'string' || !router.renormalize,
    `${label}: sparsely mixed weights stay as they are`,
  );
  if (!router.groups) return;
  const { count, keep, rank } = router.groups;
  const smallest = rank === 'top2-sum' ? 2 : 1;
  invariant(experts % count === 0 && experts / count >= smallest, `${label}: ${experts} experts in ${count} groups`);
  invariant(keep >= 1 && keep <= count, `${label}: keeps ${keep} of ${count} groups`);
}

function sizes({ block, topK, norm = 'rms', eps }: RouteShape): Constants {
  const { hidden, experts, norm: isNormed = true } = block;
  const chunks = ceilDiv(hidden, CHUNK);
  const blocks = ceilDiv(chunks, MOST_CHUNKS);
  return {
    WG: routerRows(block) * hidden > SMALL_ROUTER ? 256 : 64,
    D: hidden,
    E: experts,
    TOP_K: topK,
    CENTERED: isNormed && norm !== 'rms',
    NORM_BIAS: norm === 'layer-biased',
    EPS: eps,
    BLOCKS: blocks,
    BLOCK_CHUNKS: alignUp(ceilDiv(chunks, blocks), PARTS),
  };
}

/** Of routers whose logits are made of all products with the matrix. */
function productConstants(block: RouterBlock): Constants {
  const { attends = false, inner = 0 } = block;
  if (!attends && !inner) return { PRODUCTS: false };
  const second = { SECOND_AT: block.secondAt / 4, CAP: 1 }; // soft-capped to 1 is tanh
  return { PRODUCTS: true, ATTENDS: attends, ROWS: routerRows(block), ...(attends ? {} : second) };
}

function blockConstants(block: RouterBlock): Constants {
  const { norm = true, logitBias, selectionBias, sharedGate, routerGains = false, expertScale = false } = block;
  return {
    ROUTER_VEC4: block.bytes / 16,
    NORM: norm,
    ...(norm ? { GAMMA_AT: block.gammaAt / 4 } : {}),
    LOGIT_BIAS: logitBias,
    ...(logitBias ? { LOGIT_BIAS_AT: block.logitBiasAt / 4 } : {}),
    SELECTION_BIAS: selectionBias,
    ...(selectionBias ? { SELECTION_BIAS_AT: block.selectionBiasAt / 4 } : {}),
    SHARED_GATE: sharedGate,
    ...(sharedGate ? { SHARED_GATE_AT: block.sharedGateAt / 4 } : {}),
    ROUTER_GAINS: routerGains,
    ...(routerGains ? { ROUTER_GAINS_AT: block.routerGainsAt / 4 } : {}),
    EXPERT_SCALE: expertScale,
    ...(expertScale ? { EXPERT_SCALE_AT: block.expertScaleAt / 4 } : {}),
  };
}

function approximateConstants(isApproximate: boolean, weighted: number | undefined): Constants {
  if (!isApproximate) return { APPROXIMATE: false };
  return {
    APPROXIMATE: true,
    NULLS: weighted !== undefined,
    ...(weighted === undefined ? {} : { WEIGHTED: weighted }),
  };
}

function renormalizeBy(by: RouterConfig['renormalize']): Constants {
  if (!by) return {};
  return 'least' in by ? { LEAST_SUM: by.least } : { RENORMALIZE_EPS: by.epsilon };
}

function routerConstants({ score, groups, renormalize, scale, deviation }: RouterConfig): Constants {
  return {
    DEVIATION: deviation !== undefined,
    ...(deviation === undefined ? {} : { LOGITS_DEVIATION: deviation }),
    SCORE_SOFTMAX: score === 'softmax',
    SCORE_SIGMOID: score === 'sigmoid',
    SCORE_SQRT_SOFTPLUS: score === 'sqrt-softplus',
    SCORE_SOFTMAX_CHOSEN: score === 'softmax-chosen',
    SCORE_SPARSE_MIXER: typeof score === 'object',
    ...(typeof score === 'object' ? { TOLERANCE: score.tolerance } : {}),
    SCALE: scale,
    RENORMALIZE: renormalize !== null && 'epsilon' in renormalize,
    RENORMALIZE_LEAST: renormalize !== null && 'least' in renormalize,
    ...renormalizeBy(renormalize),
    GROUPS: groups !== null,
    ...(groups
      ? {
          GROUP_COUNT: groups.count,
          GROUP_KEEP: groups.keep,
          GROUP_TOP2: groups.rank === 'top2-sum',
          DROPPED_ZERO: groups.dropped === 'zero',
        }
      : {}),
  };
}
