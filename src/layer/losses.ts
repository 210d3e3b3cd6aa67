/** Losses of a run by name, from sums over its tokens; and what the kernels need for their gradients. */
import { choicesOf, type LayerStep } from '../config/moe-layer.ts';
import type { LayerPlan } from './options.ts';
import type { DispatchMap } from './dispatch.ts';

/** In the order of docs/layer.md, which has the formulas. */
export const LOSS_NAMES = [
  'load_balancing',
  'importance',
  'load',
  'z',
  'mutual_information',
  'device_balance',
  'communication_balance',
  'sequence_balance',
] as const;
export type LossName = (typeof LOSS_NAMES)[number];
export type LayerLosses = Readonly<Record<LossName, number>>;

/** What the GPU tells of a run's router. */
export interface RouterSums {
  /** Of the shares of each choice, sequence by sequence, [sequences][G]. */
  readonly shares: readonly Float64Array[];
  /** Of noisy top-k in training, [G]; else null. */
  readonly load: Float64Array | null;
  readonly logSumExp: ArrayLike<number>; // [T]
  readonly entropy: ArrayLike<number>; // [T]
}

interface Balance {
  /** P: mean share of each choice. */
  readonly mean: Float64Array;
  /** f: share of each choice in all that were made. */
  readonly taken: Float64Array;
  /** Of each sequence. */
  readonly sequences: readonly { readonly tokens: number; readonly mean: Float64Array; readonly taken: Float64Array }[];
  /** d loss / d (mean share) of the losses over devices, by device. */
  readonly deviceTaken: readonly number[];
  readonly deviceSent: readonly number[];
  readonly importance: Float64Array;
  readonly load: Float64Array;
}

export function lossesOf(sums: RouterSums, dispatch: DispatchMap, plan: LayerPlan, step: LayerStep): LayerLosses {
  const b = balanceOf(sums, dispatch, plan, step);
  const choices = choicesOf(plan.shape);
  const inner = (f: Float64Array, p: Float64Array): number => choices * total(f.map((v, e) => v * p[e]!));
  const device = (e: number): number => Math.floor((e * plan.devices) / choices);
  return {
    load_balancing: inner(b.taken, b.mean),
    importance: squaredCv(b.importance),
    load: squaredCv(b.load),
    z: mean(Array.from(sums.logSumExp, (v) => v * v)),
    mutual_information: total(b.mean.map((p) => (p > 0 ? p * Math.log(p) : 0))) + mean(sums.entropy),
    device_balance: total(b.mean.map((p, e) => p * b.deviceTaken[device(e)]!)),
    communication_balance: total(b.mean.map((p, e) => p * b.deviceSent[device(e)]!)),
    sequence_balance: mean(b.sequences.map((s) => inner(s.taken, s.mean))),
  };
}

/** Words of `loss_grads`: see shaders/layer/router_grad.wgsl. */
export function lossGradWords(
  sums: RouterSums,
  dispatch: DispatchMap,
  plan: LayerPlan,
  step: LayerStep,
): Float32Array<ArrayBuffer> {
  const b = balanceOf(sums, dispatch, plan, step);
  const { coef, devices } = plan;
  const choices = choicesOf(plan.shape);
  const words = new Float32Array(2 + (2 + b.sequences.length) * choices);
  words.set([(2 * coef.z) / step.tokens, coef.mutual_information / step.tokens]);
  words.set(cvGrad(b.importance, coef.importance), 2);
  if (sums.load) words.set(cvGrad(b.load, coef.load), 2 + choices);
  b.sequences.forEach((own, s) => {
    const rows = own.mean.map((_, e) => {
      const device = Math.floor((e * devices) / choices);
      const whole =
        coef.load_balancing * choices * b.taken[e]! +
        coef.mutual_information * Math.log(Math.max(b.mean[e]!, 1e-30)) +
        coef.device_balance * b.deviceTaken[device]! +
        coef.communication_balance * b.deviceSent[device]!;
      const part = (coef.sequence_balance * choices * own.taken[e]!) / (own.tokens * b.sequences.length);
      return whole / step.tokens + part;
    });
    words.set(rows, 2 + (2 + s) * choices);
  });
  return words;
}

export const lossGradBytes = (sequences: number, choices: number): number => 4 * (2 + (2 + sequences) * choices);

function balanceOf(sums: RouterSums, dispatch: DispatchMap, plan: LayerPlan, { tokens, sequence }: LayerStep): Balance {
  const { devices, mostDevices, shape } = plan;
  const choices = choicesOf(shape);
  const counts = dispatch.demand(0, tokens);
  const taken = fractions(counts);
  const onDevice = (i: number): number =>
    total(taken.filter((_, e) => Math.floor((e * devices) / choices) === i)) * devices;
  return {
    mean: Float64Array.from({ length: choices }, (_, e) => total(sums.shares.map((s) => s[e]!)) / tokens),
    taken,
    sequences: sums.shares.map((row, s) => {
      const begin = s * sequence;
      const end = Math.min(tokens, begin + sequence);
      return {
        tokens: end - begin,
        mean: row.map((v) => v / (end - begin)),
        taken: fractions(dispatch.demand(begin, end)),
      };
    }),
    deviceTaken: Array.from({ length: devices }, (_, i) => onDevice(i)),
    deviceSent: dispatch.sentTo(devices).map((n) => (devices * n) / (mostDevices * tokens)),
    importance: dispatch.importance(),
    load: sums.load ?? counts,
  };
}

const total = (values: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum;
};
const mean = (values: ArrayLike<number>): number => total(values) / values.length;

function fractions(counts: Float64Array): Float64Array {
  const all = total(counts);
  return counts.map((n) => (all ? n / all : 0));
}

/** Var / mean^2, as n sum of v^2 / (sum of v)^2 - 1. */
function squaredCv(values: Float64Array): number {
  const sum = total(values);
  return sum ? Math.max(0, (values.length * total(values.map((v) => v * v))) / sum ** 2 - 1) : 0;
}

function cvGrad(values: Float64Array, coef: number): Float64Array {
  const sum = total(values);
  const squares = total(values.map((v) => v * v));
  return values.map((v) => (sum ? (coef * 2 * values.length * (v * sum - squares)) / sum ** 3 : 0));
}
