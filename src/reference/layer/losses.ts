/** Twin of shaders/layer/column_sums.wgsl and of what src/layer/losses.ts makes of the sums: every loss from its definition, token by token. */
import type { LayerShape, LayerStep } from '../../config/moe-layer.ts';
import { softplus, total, type Gate } from './gate.ts';
import type { Choice } from './place.ts';

export interface LossInput {
  readonly gates: readonly Gate[];
  readonly choices: readonly (readonly Choice[])[];
  readonly devices: number;
  /** Devices that a token may be sent to at most. */
  readonly mostDevices: number;
}

export type Losses = Readonly<Record<string, number>>;

export function losses(input: LossInput, shape: LayerShape, { sequence, tokens }: LayerStep): Losses {
  const { gates, choices } = input;
  const parts: Losses[] = [];
  for (let at = 0; at < tokens; at += sequence) {
    const part = { gates: gates.slice(at, at + sequence), choices: choices.slice(at, at + sequence) };
    parts.push({ balance: balance(part, shape) });
  }
  const shares = meanShares(gates);
  return {
    load_balancing: balance(input, shape),
    importance: squaredCv(importanceOf(choices, shape)),
    load: squaredCv(loadOf(input, shape)),
    z: total(gates.map((g) => g.logSumExp ** 2)) / tokens,
    mutual_information:
      total(shares.map((p) => (p > 0 ? p * Math.log(p) : 0))) + total(gates.map((g) => g.entropy)) / tokens,
    device_balance: deviceBalance(input, shape),
    communication_balance: communicationBalance(input, shape),
    sequence_balance: total(parts.map((p) => p.balance!)) / parts.length,
  };
}

type Part = Pick<LossInput, 'gates' | 'choices'>;

const choicesIn = ({ experts, zeroExperts }: LayerShape): number => experts + zeroExperts;

/** How often each choice was made, before anything is dropped; where experts choose, what they took. */
export function demand(choices: Part['choices'], shape: LayerShape): Float64Array {
  const counts = new Float64Array(choicesIn(shape));
  for (const { id, kept } of choices.flat()) if (kept || shape.chooses !== 'experts') counts[id]!++;
  return counts;
}

function meanShares(gates: readonly Gate[]): Float64Array {
  const mean = new Float64Array(gates[0]!.shares.length);
  for (const { shares } of gates) shares.forEach((p, e) => (mean[e]! += p / gates.length));
  return mean;
}

function fractions(choices: Part['choices'], shape: LayerShape): Float64Array {
  const counts = demand(choices, shape);
  const all = total(counts);
  return counts.map((n) => (all ? n / all : 0));
}

/** E * sum of f P */
function balance({ gates, choices }: Part, shape: LayerShape): number {
  const f = fractions(choices, shape);
  return choicesIn(shape) * total(meanShares(gates).map((p, e) => f[e]! * p));
}

function importanceOf(choices: Part['choices'], shape: LayerShape): Float64Array {
  const sums = new Float64Array(choicesIn(shape));
  for (const { id, weight } of choices.flat()) sums[id]! += weight;
  return sums;
}

/** With noisy top-k, how likely each token would choose it under another draw of its noise; else how often it was chosen. */
function loadOf({ gates, choices }: Part, shape: LayerShape): Float64Array {
  if (!gates[0]?.thresholds) return demand(choices, shape);
  const sums = new Float64Array(choicesIn(shape));
  for (const { logits, noisy, thresholds } of gates) {
    thresholds!.forEach((at, e) => {
      sums[e]! += normalBelow((logits[e]! - noisy[at]!) / softplus(logits[thresholds!.length + e]!));
    });
  }
  return sums;
}

/** Variance by squared mean. */
function squaredCv(values: Float64Array): number {
  const mean = total(values) / values.length;
  return mean ? total(values.map((v) => (v / mean - 1) ** 2)) / values.length : 0;
}

function deviceBalance({ gates, choices, devices }: LossInput, shape: LayerShape): number {
  const f = fractions(choices, shape);
  const p = meanShares(gates);
  const size = f.length / devices;
  let sum = 0;
  for (let i = 0; i < devices; i++) {
    const own = Array.from({ length: size }, (_, j) => i * size + j);
    sum += devices * total(own.map((e) => f[e]!)) * total(own.map((e) => p[e]!));
  }
  return sum;
}

function communicationBalance({ gates, choices, devices, mostDevices }: LossInput, shape: LayerShape): number {
  const p = meanShares(gates);
  const size = p.length / devices;
  let sum = 0;
  for (let i = 0; i < devices; i++) {
    const isOwn = (e: number): boolean => Math.floor(e / size) === i;
    const sent = choices.filter((of) =>
      of.some(({ id, kept }) => (kept || shape.chooses !== 'experts') && isOwn(id)),
    ).length;
    sum += ((devices * sent) / (mostDevices * gates.length)) * total(p.map((v, e) => (isOwn(e) ? v : 0)));
  }
  return sum;
}

/** By the series of erf without cancellation: z exp(-z^2) sum of (2 z^2)^n / (1 3 5 ... (2n + 1)). */
export function normalBelow(a: number): number {
  const z = Math.abs(a) / Math.SQRT2;
  if (z > 6) return a < 0 ? 0 : 1;
  let term = z;
  let sum = 0;
  for (let n = 0; term > 1e-18 * sum || n === 0; n++) {
    sum += term;
    term *= (2 * z * z) / (2 * n + 3);
  }
  const half = (sum * Math.exp(-z * z)) / Math.sqrt(Math.PI);
  return 0.5 + (a < 0 ? -half : half);
}

export const normalDensity = (a: number): number => Math.exp(-0.5 * a * a) / Math.sqrt(2 * Math.PI);

/** Gradients of the weighted sum of losses by what they are made of. */
export interface LossGrads {
  readonly shares: readonly Float64Array[]; // [T][G]
  /** By the importance and by the load of each choice, [G]. */
  readonly importance: Float64Array;
  readonly load: Float64Array;
  readonly logSumExp: Float64Array; // [T]
}

/** @param coef of each loss, 0 where it is absent; how often a choice was made has no gradient */
export function lossGrads(input: LossInput, shape: LayerShape, step: LayerStep, coef: Losses): LossGrads {
  const { gates, choices } = input;
  const of = (name: string): number => coef[name] ?? 0;
  const tokens = gates.length;
  const sequences = Math.ceil(tokens / step.sequence);
  const whole = fractions(choices, shape);
  const mean = meanShares(gates);
  const slopes = deviceSlopes(input, shape, of);
  const shares = gates.map((gate, t) => {
    const begin = t - (t % step.sequence);
    const part = choices.slice(begin, begin + step.sequence);
    const own = fractions(part, shape);
    return gate.shares.map((p, e) => {
      const device = Math.floor((e * input.devices) / own.length);
      const spread = of('mutual_information') * (Math.log(mean[e]!) - Math.log(Math.max(p, 1e-30)));
      const even = of('load_balancing') * own.length * whole[e]! + slopes[device]!;
      return (even + spread) / tokens + (of('sequence_balance') * own.length * own[e]!) / (part.length * sequences);
    });
  });
  return {
    shares,
    importance: cvGrad(importanceOf(choices, shape), of('importance')),
    load: gates[0]?.thresholds ? cvGrad(loadOf(input, shape), of('load')) : new Float64Array(whole.length),
    logSumExp: Float64Array.from(gates, (g) => (of('z') * 2 * g.logSumExp) / tokens),
  };
}

/** Of the two losses over devices, by the mean share of any choice on each. */
function deviceSlopes(input: LossInput, shape: LayerShape, of: (name: string) => number): number[] {
  const f = fractions(input.choices, shape);
  const size = f.length / input.devices;
  return Array.from({ length: input.devices }, (_, i) => {
    const isOwn = (e: number): boolean => Math.floor(e / size) === i;
    const sent = input.choices.filter((c) =>
      c.some(({ id, kept }) => (kept || shape.chooses !== 'experts') && isOwn(id)),
    ).length;
    return (
      of('device_balance') * input.devices * total(f.filter((_v, e) => isOwn(e))) +
      (of('communication_balance') * input.devices * sent) / (input.mostDevices * input.gates.length)
    );
  });
}

/** Of var / mean^2 = n sum of v^2 / (sum of v)^2 - 1. */
function cvGrad(values: Float64Array, coef: number): Float64Array {
  const n = values.length;
  const sum = total(values);
  const squares = total(values.map((v) => v * v));
  return values.map((v) => (sum ? (coef * 2 * n * (v * sum - squares)) / sum ** 3 : 0));
}
