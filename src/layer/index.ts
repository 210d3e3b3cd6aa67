/** webmoe/layer: a Mixture-of-Experts layer for any WebGPU app, forward and backward. No models, no Node. */
export { DeviceLost, InvalidRequest, OutOfBudget, WebmoeError } from '../errors.ts';
export { capacityOf, type CapacityRule } from './capacity.ts';
export { type Dispatch, DROPPED, NOWHERE } from './dispatch.ts';
export type { ForwardOptions, MoELayer, MoELayerBuffers, MoELayerGradients, MoELayerRun } from './moe-layer.ts';
export { createMoELayer } from './open.ts';
export { LOSS_NAMES, type LayerLosses, type LossName } from './losses.ts';
export type { MoELayerOptions } from './options.ts';
export type { MoELayerWeights } from './weights.ts';
