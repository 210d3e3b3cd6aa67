/** From a layer's input to the experts of each token, and to the rows that these read. */
import { weighted } from '../config/experts.ts';
import type { MoeFfn } from '../config/model-config.ts';
import type { BufferView } from '../gpu/buffer.ts';
import type { Recorder } from '../gpu/recording.ts';
import { route } from '../kernels/moe/route.ts';
import { routerState } from '../kernels/moe/router_state.ts';
import { weighRows } from '../kernels/moe/weigh_rows.ts';
import { rmsNorm } from '../kernels/norm/rms_norm.ts';
import { linear } from '../layers/linear.ts';
import { invariant } from '../util/assert.ts';
import type { MoeParts, MoeStep } from './step.ts';

/** x -> normed, and what the router maps to logits, in `raised`; `qLatent` is free then. */
function carriedState(r: Recorder, { router }: MoeFfn, { state }: MoeParts, s: MoeStep): BufferView | undefined {
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

/** From which of a layer's experts on they have no weights, where some have none. */
export const skipsOf = (config: MoeFfn): { readonly weighted?: number } =>
  config.nulls ? { weighted: weighted(config) } : {};

/** x -> normed, ids and weights. */
export function routeTokens(r: Recorder, config: MoeFfn, weights: MoeParts, s: MoeStep): void {
  const { label, x, routed, interventions, scratch, predict = false, approximate = false, logits = false } = s;
  const { topK, inputScale = 1 } = config;
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
  const carried = carriedState(r, config, weights, s);
  const read = carried
    ? { x: carried, normed: scratch.qLatent }
    : { x: config.reads === 'layer' ? s.layerInput : x, normed: scratch.normed };
  const shape = { block, topK, router: config.router, norm: s.normKind, eps: s.eps, predict, logits, inputScale };
  route(r, `${label} route`, { ...read, router, routed, ...optional }, { ...shape, ...skipsOf(config) });
}

/**
 * The rows that experts read: in their latent, or each times its weight, where weights are on the input. In `out`, which is free until the end: a prompt's
 * waves of experts read these rows again after others of them wrote `y`.
 */
export function expertInput(r: Recorder, config: MoeFfn, { latent }: MoeParts, s: MoeStep): BufferView {
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
