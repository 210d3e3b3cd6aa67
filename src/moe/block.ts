/**
 * One Mixture-of-Experts layer: out = x + sum over the K chosen of weight * expert(norm(x)) (+ the shared expert).
 *
 *            decode, few                           prefill
 *   route    x -> normed, ids and weights          the same
 *   shared   rides in up and down                  rides in up, down and combine
 *   group                                          ids -> rows by expert, tiles, inverse map
 *   up       normed -> act [P, F]                  rows gathered tile by tile
 *   down     act -> out, weights and residual in   act -> y [P, D]
 *   combine                                        y -> out through the inverse map, k ascending
 *
 * Of a double gate, up leaves products, and a dispatch behind it makes act of them.
 */
import { valueRows } from '../config/activation.ts';
import { weighted } from '../config/experts.ts';
import type { MoeFfn, NormKind } from '../config/model-config.ts';
import type { BufferView } from '../gpu/buffer.ts';
import type { Recorder } from '../gpu/recording.ts';
import { gluTriples, productsOf } from '../kernels/linear/glu_triples.ts';
import { rmsNorm } from '../kernels/norm/rms_norm.ts';
import { besideAt, type Beside } from '../kernels/moe/beside.ts';
import { combine } from '../kernels/moe/combine.ts';
import { dropLate } from '../kernels/moe/drop_late.ts';
import { expertDown, expertDownDecode } from '../kernels/moe/expert_down.ts';
import { expertUp, expertUpDecode } from '../kernels/moe/expert_up.ts';
import { group, type TileRows } from '../kernels/moe/group.ts';
import { route } from '../kernels/moe/route.ts';
import { routerState, type RouterStates } from '../kernels/moe/router_state.ts';
import { weighRows } from '../kernels/moe/weigh_rows.ts';
import type { DeviceRouter } from '../kernels/moe/router_block.ts';
import type { Phase } from '../layers/attention.ts';
import { denseLayer, feedForward } from '../layers/ffn.ts';
import { linear } from '../layers/linear.ts';
import { addNormed } from '../layers/norm.ts';
import { onlyPart, type DeviceParts } from '../layers/parts.ts';
import type { MoeWeights } from '../layers/weights.ts';
import { invariant } from '../util/assert.ts';
import { ExpertAdapter } from './adapter.ts';
import type { DeviceExperts } from './experts.ts';

export interface MoeStep {
  readonly label: string;
  readonly phase: Phase;
  readonly hidden: number; // D
  readonly normKind: NormKind;
  readonly eps: number;
  /** Multiplies what the layer adds to x. */
  readonly scale: number;
  /** What the layer adds goes through this norm first; null: it is added as it is. */
  readonly postNorm: BufferView | null;
  readonly joinGains?: boolean; // see layers/norm.ts
  /** Multiplies x and what the layer adds; only with `postNorm`. */
  readonly total: BufferView | null; // [1]
  readonly x: BufferView; // [T, D]
  /** What the whole layer read, attention too. */
  readonly layerInput: BufferView; // [T, D]
  readonly out: BufferView; // [T, D], another buffer
  /** Of a router that carries a state. */
  readonly routerStates?: RouterStates | undefined;
  /** This layer's routing log. */
  readonly routed: BufferView; // [T, 2K]: ids, then weight bits; with `predict`, [T, predictedIds] follow; with `logits`, [T, E]
  /** Also guess what the next MoE layer will choose; its router block must lie behind this layer's. Default false. */
  readonly predict?: boolean;
  /** Obey the step's `ApproximateParams`. Default false: routing is exact. */
  readonly approximate?: boolean;
  /** Also log the router's logits. Default false. */
  readonly logits?: boolean;
  /** What a request changes in the choice: of this layer, with `predict` the next one's behind it. Default: nothing. */
  readonly interventions?: BufferView;
  /** What the step's tokens are: of a text that is read as a whole, or of one that grows. Default: the latter. */
  readonly reads?: 'text' | 'tokens';
  readonly tileRows: TileRows;
  /** The most tokens of a step. */
  readonly most: number;
  /** Prompts only: the slots of one wave of experts, in place of the layer's own table. */
  readonly waveTable?: BufferView | undefined; // [E]
  readonly scratch: {
    readonly normed: BufferView; // [T, D]
    readonly withShared: BufferView; // [T, D]
    /** Only of a router that carries a state. */
    readonly qLatent: BufferView; // [T, R]
    readonly raised: BufferView; // [T, R]
    readonly sharedWeight: BufferView; // [T]
    readonly dense: BufferView; // [T, shared width]; of a double gate with room for its products, as `act`
    readonly pairOfRow: BufferView; // [P]
    readonly rowOfPair: BufferView; // [P]
    readonly tiles: BufferView;
    readonly counts: BufferView; // [E]
    readonly act: BufferView; // [P, F], then [T, shared width]
    readonly y: BufferView; // [P, D], then [T, D]
  };
}

/** Where in a program a layer's stages begin: marks of its recorder. */
export interface MoeMarks {
  /** Everything before this is done when the layer's input is in `x`. */
  readonly route: number;
  /** The routing is known; what reads experts begins. */
  readonly experts: number;
  /** Experts are done. */
  readonly combine: number;
}

type Weights = MoeWeights<DeviceParts, BufferView, DeviceExperts, DeviceRouter>;

/**
 * The dense FFN beside the experts, with norms of its own, in `withShared`: norm(ffn(norm(x))), or without post norms x + ffn(norm(x)). `out` is free
 * until the end.
 * @returns what joins the sum of the experts; undefined where both are normed first
 */
function parallelBranch(
  r: Recorder,
  { activation, parallel: branch }: MoeFfn,
  { parallel, shared }: Weights,
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

/** x -> normed, and what the router maps to logits, in `raised`; `qLatent` is free then. */
function carriedState(r: Recorder, { router }: MoeFfn, { state }: Weights, s: MoeStep): BufferView | undefined {
  if (!state) return undefined;
  const { label, phase, x, eps, routerStates: states, scratch } = s;
  const { normed, qLatent: down, raised: out } = scratch;
  invariant(states && router.state !== undefined, `${label}: a router without a place for its state`);
  rmsNorm(r, `${label} norm`, { x, gamma: state.norm, out: normed }, { size: state.down.cols, eps });
  linear(r, `${label} router down`, { x: normed, weights: state.down, out: down }, { phase });
  const io = { down, vectors: state.vectors, states, out };
  routerState(r, `${label} router state`, io, { size: router.state, eps });
  return out;
}

/**
 * The rows that experts read: in their latent, or each times its weight, where weights are on the input. In `out`, which is free until the end: a prompt's
 * waves of experts read these rows again after others of them wrote `y`.
 */
function expertInput(r: Recorder, config: MoeFfn, { latent }: Weights, s: MoeStep): BufferView {
  const { label, phase, hidden, routed, out, scratch } = s;
  if (latent) {
    linear(r, `${label} latent down`, { x: scratch.normed, weights: latent.down, out }, { phase });
    return out;
  }
  if (config.weightsOn !== 'input') return scratch.normed;
  invariant(config.topK === 1, `${label}: weights on the input of more than one expert`);
  weighRows(r, `${label} weigh`, { x: scratch.normed, routed, out }, { hidden });
  return out;
}

/**
 * The shared expert as entries of the experts' dispatches; null where it has its own: on a software adapter, whose lanes take its rows by four or
 * eight without a barrier, when its matrices are in parts, when its values are made of products by a dispatch of their own, and when an adapter adds to it or
 * to the experts.
 */
function besideOf(
  { gpu }: Recorder,
  { topK, width, weightsOn, activation }: MoeFfn,
  { shared, router, experts, latent }: Weights,
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

export function moeLayer(r: Recorder, config: MoeFfn, weights: Weights, s: MoeStep): MoeMarks {
  if (!config.parallel?.behind) return besideExperts(r, config, weights, s);
  const { label, scratch, postNorm } = s;
  const { parallel, shared } = weights;
  invariant(parallel && !shared && !postNorm, `${label}: a dense feed-forward behind experts alone`);
  const { normed, withShared: x, dense: hidden } = scratch;
  const marks = besideExperts(r, config, weights, { ...s, out: x });
  const { activation } = config;
  denseLayer(r, {
    ...s,
    label: `${label} dense`,
    x,
    activation,
    weights: parallel,
    gamma: parallel.norm,
    normed,
    hidden,
  });
  return marks;
}

/** The layer but for what lies behind its experts. */
function besideExperts(r: Recorder, config: MoeFfn, weights: Weights, s: MoeStep): MoeMarks {
  const { label, phase, hidden, x, routed, scratch, tileRows, predict = false, approximate = false } = s;
  const { logits = false, interventions } = s;
  const { experts, topK, width, activation, inputScale = 1 } = config;
  invariant(
    !config.nulls || !(config.shared || weights.experts.lowRank),
    `${label}: more than experts, some of them null`,
  );
  const { normed } = scratch;
  const { block, view, withNext } = weights.router;
  const router = predict ? withNext : view;
  invariant(router, `${label}: no router behind this one that it could predict for`);
  invariant(inputScale === 1 || !weights.shared, `${label}: a shared expert beside experts of scaled inputs`);
  const optional = {
    ...(block.sharedGate ? { sharedWeight: scratch.sharedWeight } : {}),
    ...(approximate ? { slotTable: weights.experts.slotTable } : {}),
    ...(interventions ? { interventions } : {}),
    ...(config.routerInput === 'layer' ? { early: s.layerInput } : {}),
  };
  const atRoute = r.mark();
  const skips = config.nulls ? { weighted: weighted(config) } : {};
  let residual = parallelBranch(r, config, weights, s);
  const carried = carriedState(r, config, weights, s);
  const read = carried
    ? { x: carried, normed: scratch.qLatent }
    : { x: config.reads === 'layer' ? s.layerInput : x, normed };
  route(
    r,
    `${label} route`,
    { ...read, router, routed, ...optional },
    { block, topK, router: config.router, norm: s.normKind, eps: s.eps, predict, logits, inputScale, ...skips },
  );
  const { postNorm } = s;
  const { latent } = weights;
  /** With a post norm: what is normed, without x; with a latent what goes up from it. `normed` is free when it is written. */
  const sum = postNorm || latent ? { out: normed, scale: 1 } : { out: s.out, scale: s.scale };
  const beside = besideOf(r, config, weights, s);
  if (weights.shared && !beside) {
    feedForward(r, {
      label: `${label} shared`,
      phase,
      activation,
      weights: weights.shared,
      x: normed,
      hidden: scratch.dense,
      scale: postNorm ? 1 : s.scale,
      residual,
      ...(block.sharedGate ? { rowScale: scratch.sharedWeight } : {}),
      out: scratch.withShared,
    });
    residual = scratch.withShared;
  }
  const { arena, slot, slotTable } = weights.experts;
  const shape = { hidden: config.latent ?? hidden, width, experts, topK, ...(beside ? { beside } : {}) };
  const home = { arena, slotTable: s.waveTable ?? slotTable };
  const input = expertInput(r, config, weights, s);
  const unweighted = config.weightsOn === 'input';
  const { pairOfRow, rowOfPair, tiles, counts, act, y } = scratch;
  const adapter = new ExpertAdapter(r, weights.experts, {
    ...{ label, topK, activation, input, routed, act, scale: sum.scale, unweighted },
    ...(phase === 'prefill' && { rowOfPair }),
  });
  const isDouble = valueRows(activation) === 3;
  invariant(!isDouble || !weights.experts.lowRank, `${label}: what adapters add to experts of a double gate`);
  const products = isDouble ? { act: productsOf(act), raw: false } : adapter.products;
  const upShape = { ...shape, slot, activation, raw: products.raw };
  const activate = (): void => {
    if (isDouble) gluTriples(r, `${label} activation`, { values: act }, { width, rows: topK });
    else adapter.activate();
  };
  if (phase !== 'prefill') {
    const atExperts = r.mark();
    adapter.lower();
    expertUpDecode(r, `${label} up`, { ...home, x: input, routed, act: products.act }, upShape);
    activate();
    expertDownDecode(
      r,
      `${label} down`,
      { ...home, act, routed, residual: adapter.joined(latent ? undefined : residual), out: sum.out },
      { ...shape, slot, scale: sum.scale, unweighted },
    );
    const done = { route: atRoute, experts: atExperts, combine: r.mark() };
    addSum(r, weights, s, residual);
    return done;
  }
  if (s.reads === 'text' && config.capacity !== undefined) {
    invariant(topK === 1, `${label}: a capacity for tokens of more than one expert`);
    dropLate(r, `${label} drop`, { routed }, { capacity: config.capacity });
  }
  group(r, `${label} group`, { routed, pairOfRow, rowOfPair, tiles, counts }, { experts, topK, tileRows });
  adapter.lower();
  const atExperts = r.mark();
  expertUp(r, `${label} up`, { ...home, x: input, pairOfRow, tiles, act: products.act }, { ...upShape, tileRows });
  activate();
  expertDown(r, `${label} down`, { ...home, act, tiles, y }, { ...shape, slot, tileRows });
  const atCombine = r.mark();
  combine(
    r,
    `${label} combine`,
    { y, rowOfPair, routed, residual: adapter.joined(latent ? undefined : residual), out: sum.out },
    { hidden: shape.hidden, topK, scale: sum.scale, unweighted, ...(beside ? { beside } : {}), ...skips },
  );
  addSum(r, weights, s, residual);
  return { route: atRoute, experts: atExperts, combine: atCombine };
}

/**
 * What goes up from the latent of the sum in `normed`, or what a post norm makes of it, where there is either; the sum is that of both branches, where there
 * are two.
 */
function addSum(r: Recorder, { parallel, latent }: Weights, s: MoeStep, residual: BufferView | undefined): void {
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
