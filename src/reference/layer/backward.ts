/** Twin of the gradients: shaders/layer/combine_grad, act_grad, expert_grad, router_grad, x_grad and router_weight_grad. */
import type { LayerShape, LayerStep } from '../../config/moe-layer.ts';
import { product, type ExpertWeights } from '../moe/expert_up.ts';
import { sigmoid, softplus, total, type Gate } from './gate.ts';
import { normalDensity, type LossGrads } from './losses.ts';
import { given, sharesOf } from './merge.ts';
import { draw, normal, unit } from './philox.ts';
import { LEAST_SUM, mixOf, rawWeights, type Choice } from './place.ts';

export interface BackwardInput {
  readonly x: ArrayLike<number>; // [T, D]
  readonly dout: ArrayLike<number>; // [T, D]
  readonly router: ArrayLike<number>; // [M, D]
  readonly ffns: readonly ExpertWeights[];
  readonly gates: readonly Gate[];
  readonly choices: readonly (readonly Choice[])[];
  readonly losses: LossGrads;
}

export interface Gradients {
  readonly x: Float64Array; // [T, D]
  readonly router: Float64Array; // [M, D]
  readonly ffns: readonly { readonly gateUp: Float64Array; readonly down: Float64Array }[];
}

export function backward(input: BackwardInput, shape: LayerShape, step: LayerStep): Gradients {
  const { hidden } = shape;
  const grads: Gradients = {
    x: new Float64Array(input.x.length),
    router: new Float64Array(input.router.length),
    ffns: input.ffns.map(({ gateUp, down }) => ({
      gateUp: new Float64Array(gateUp.length),
      down: new Float64Array(down.length),
    })),
  };
  input.gates.forEach((gate, t) => {
    const token = Float64Array.from({ length: hidden }, (_, d) => input.x[t * hidden + d]!);
    const dout = Float64Array.from({ length: hidden }, (_, d) => input.dout[t * hidden + d]!);
    const dx = grads.x.subarray(t * hidden, (t + 1) * hidden);
    const dots = throughExperts(input, { token, dout, dx }, grads.ffns, gate, input.choices[t]!, shape);
    const dlogits = logitGrads(t, input, gate, dots, shape, step);
    throughRouter(t, input, { token, dx, dlogits }, grads.router, gate, shape, step);
  });
  return grads;
}

/** What the weight of each choice changes; behind them, that of the residual expert. */
type Dots = readonly number[];

interface TokenGrads {
  readonly token: Float64Array;
  readonly dout: Float64Array;
  /** Added to. */
  readonly dx: Float64Array;
}

/** Adds to the gradients of x and of the experts. */
function throughExperts(
  { ffns }: BackwardInput,
  { token, dout, dx }: TokenGrads,
  grads: Gradients['ffns'],
  gate: Gate,
  choices: readonly Choice[],
  shape: LayerShape,
): Dots {
  const dots = Array<number>(choices.length + 1).fill(0);
  for (const share of sharesOf(gate, choices, shape)) {
    const y = given(share, token, ffns, shape);
    const slot = share.k >= 0 ? share.k : choices.length;
    dots[slot] = total(y.map((v, d) => v * dout[d]!));
    if (share.ffn === null) dout.forEach((g, d) => (dx[d]! += share.weight * g));
    else
      expertGrad(
        ffns[share.ffn]!,
        token,
        dout.map((g) => g * share.weight),
        grads[share.ffn]!,
        dx,
        shape,
      );
  }
  return dots;
}

function expertGrad(
  expert: ExpertWeights,
  token: Float64Array,
  dy: Float64Array,
  grads: Gradients['ffns'][number],
  dx: Float64Array,
  { hidden, width, activation }: LayerShape,
): void {
  for (let f = 0; f < width; f++) {
    const gate = product(expert.gateUp, 2 * f, token, 0, hidden);
    const up = product(expert.gateUp, 2 * f + 1, token, 0, hidden);
    const [value, slope] = activated(activation, gate);
    let dact = 0;
    for (let d = 0; d < hidden; d++) {
      dact += expert.down[d * width + f]! * dy[d]!;
      grads.down[d * width + f]! += dy[d]! * value * up;
    }
    for (let d = 0; d < hidden; d++) {
      const [dgate, dup] = [dact * slope * up, dact * value];
      grads.gateUp[2 * f * hidden + d]! += dgate * token[d]!;
      grads.gateUp[(2 * f + 1) * hidden + d]! += dup * token[d]!;
      dx[d]! += dgate * expert.gateUp[2 * f * hidden + d]! + dup * expert.gateUp[(2 * f + 1) * hidden + d]!;
    }
  }
}

/** The activation at `gate`, without `up`, and its slope. */
function activated(kind: LayerShape['activation'], g: number): readonly [value: number, slope: number] {
  if (kind === 'silu') {
    const s = sigmoid(g);
    return [g * s, s + g * s * (1 - s)];
  }
  const tanh = Math.tanh(Math.sqrt(2 / Math.PI) * (g + 0.044715 * g ** 3));
  const inner = Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * g * g);
  return [0.5 * g * (1 + tanh), 0.5 * (1 + tanh) + 0.5 * g * (1 - tanh * tanh) * inner];
}

function logitGrads(
  t: number,
  { choices: all, losses }: BackwardInput,
  gate: Gate,
  dots: Dots,
  shape: LayerShape,
  step: LayerStep,
): Float64Array {
  const choices = all[t]!;
  const mix = mixOf(gate, shape);
  const dscores = scoreGrads(gate, losses.shares[t]!);
  addWeightGrads(dscores, gate, choices, (c) => dots[c.k]! * mix[0] + losses.importance[c.id]!, shape);
  const dnoisy = noisyGrads(dscores, gate, shape.score, losses.logSumExp[t]!);
  const dlogits = new Float64Array(gate.logits.length);
  dlogits.set(dnoisy);
  if (gate.thresholds) noiseGrads(dlogits, t, gate, losses.load, step);
  if (shape.residual) {
    const routed = total(choices.map((c) => c.weight * dots[c.k]!));
    const slope = mix[0] * mix[1] * (routed - dots[choices.length]!);
    dlogits[dlogits.length - 2] = slope;
    dlogits[dlogits.length - 1] = -slope;
  }
  return dlogits;
}

/** By the scores, from the shares. */
function scoreGrads({ shares, scores }: Gate, dshares: Float64Array): Float64Array {
  const inner = total(shares.map((p, e) => p * dshares[e]!));
  const sum = total(scores);
  return dshares.map((d) => (d - inner) / sum);
}

function addWeightGrads(
  dscores: Float64Array,
  gate: Gate,
  choices: readonly Choice[],
  gradOf: (choice: Choice) => number,
  shape: LayerShape,
): void {
  if (shape.uniformWeights) return;
  const raw = rawWeights(gate, shape);
  const counts = (c: Choice): boolean =>
    shape.normalize === 'before-drop' || (shape.normalize === 'after-drop' && c.kept);
  const sum = total(choices.filter(counts).map((c) => raw[c.k]!));
  const divisor = shape.normalize === 'none' ? 1 : Math.max(sum, LEAST_SUM);
  const through = total(choices.filter((c) => c.kept).map((c) => gradOf(c) * c.weight));
  for (const choice of choices) {
    const own = choice.kept ? shape.scale * gradOf(choice) : 0;
    dscores[choice.id]! += (own - (counts(choice) && sum >= LEAST_SUM ? through : 0)) / divisor;
  }
}

function noisyGrads(dscores: Float64Array, gate: Gate, score: LayerShape['score'], dlse: number): Float64Array {
  const { scores, noisy, logSumExp } = gate;
  const inner = total(scores.map((s, e) => s * dscores[e]!));
  return dscores.map((d, e) => {
    const s = scores[e]!;
    const own =
      score === 'softmax'
        ? s * (d - inner)
        : score === 'sigmoid'
          ? d * s * (1 - s)
          : (d * sigmoid(noisy[e]!)) / (2 * s);
    return own + dlse * Math.exp(noisy[e]! - logSumExp);
  });
}

/** Noisy top-k: thresholds are logits with noise too, and noise is drawn times softplus of the noise row. */
function noiseGrads(dlogits: Float64Array, t: number, gate: Gate, dload: Float64Array, step: LayerStep): void {
  const { logits, noisy, thresholds } = gate;
  const choices = noisy.length;
  const at = thresholds!.map((threshold, e) => {
    const width = softplus(logits[choices + e]!);
    const a = (logits[e]! - noisy[threshold]!) / width;
    return { threshold, a, slope: (dload[e]! * normalDensity(a)) / width };
  });
  for (const { threshold, slope } of at) dlogits[threshold]! -= slope;
  at.forEach(({ a, slope }, e) => {
    const dwidth = dlogits[e]! * normal(step, t, e) - slope * a;
    dlogits[choices + e] = dwidth * sigmoid(logits[choices + e]!);
    dlogits[e]! += slope;
  });
}

/** Adds to the gradients of x and of the router. */
function throughRouter(
  t: number,
  { router }: BackwardInput,
  { token, dx, dlogits }: { readonly token: Float64Array; readonly dx: Float64Array; readonly dlogits: Float64Array },
  drouter: Float64Array,
  gate: Gate,
  { hidden, residual, noise, jitter }: LayerShape,
  step: LayerStep,
): void {
  for (let d = 0; d < hidden; d++) {
    const factor = noise === 'jitter' && step.training ? 1 + jitter * (2 * unit(draw(step, 'jitter', t, d)[0]) - 1) : 1;
    for (let m = 0; m < dlogits.length; m++) {
      const isMix = residual && m >= dlogits.length - 2;
      drouter[m * hidden + d]! += dlogits[m]! * (isMix ? token[d]! : gate.input[d]!);
      dx[d]! += dlogits[m]! * router[m * hidden + d]! * (isMix ? 1 : factor);
    }
  }
}
