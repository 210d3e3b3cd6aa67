/** The whole layer in doubles: forward, losses, and gradients. */
import type { LayerShape, LayerStep } from '../../config/moe-layer.ts';
import type { ExpertWeights } from '../moe/expert_up.ts';
import { backward, type Gradients } from './backward.ts';
import { gate, type Gate, type GateInput } from './gate.ts';
import { lossGrads, losses, type Losses } from './losses.ts';
import { merge } from './merge.ts';
import { place, type Choice } from './place.ts';

export interface LayerInput extends GateInput {
  /** Routed experts, shared ones, the residual one. */
  readonly ffns: readonly ExpertWeights[];
}

export interface LayerRun {
  readonly out: Float64Array; // [T, D]
  readonly gates: readonly Gate[];
  readonly choices: readonly (readonly Choice[])[];
  readonly losses: Losses;
}

export interface LossSettings {
  readonly devices: number;
  readonly mostDevices: number;
  /** Of each loss in the sum. */
  readonly coef: Losses;
}

export function runLayer(input: LayerInput, shape: LayerShape, step: LayerStep, settings: LossSettings): LayerRun {
  const gates = gate(input, shape, step);
  const choices = place(gates, shape, step);
  return {
    out: merge(input.x, gates, choices, input.ffns, shape),
    gates,
    choices,
    losses: losses({ gates, choices, ...settings }, shape, step),
  };
}

/** Gradients of dout . out + the weighted losses. */
export function layerGrads(
  input: LayerInput,
  run: LayerRun,
  dout: ArrayLike<number>,
  shape: LayerShape,
  step: LayerStep,
  settings: LossSettings,
): Gradients {
  const { gates, choices } = run;
  const grads = lossGrads({ gates, choices, ...settings }, shape, step, settings.coef);
  return backward({ ...input, gates, choices, dout, losses: grads }, shape, step);
}
