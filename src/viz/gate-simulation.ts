/**
 * How a gate learns, in small: points of eight clusters, each with a linear map of its own, and eight linear experts that must learn those maps. No language
 * model is involved. The same settings and seed give the same run.
 */
import { prng } from '../util/prng.ts';

export type GateKind = 'top-1' | 'top-2' | 'noisy top-2' | 'expert choice';

export interface GateSettings {
  readonly kind: GateKind;
  /** Of each expert: ⌈factor · B · k / E⌉ tokens a step; 0: no limit. */
  readonly capacityFactor: number;
  /** Of the Switch balance loss E · Σ f P. */
  readonly balance: number;
  /** Of the router z-loss, mean (log Σ exp z)². */
  readonly zLoss: number;
  readonly seed: number;
  readonly steps: number;
}

export interface GateRun {
  /** Share of the assignments of each step, [steps, E]. */
  readonly load: Float64Array;
  /** Of each step: mean squared error, share of assignments (expert choice: of tokens) that nobody served, balance loss, CV² of the load, z-loss. */
  readonly error: Float64Array;
  readonly dropped: Float64Array;
  readonly balance: Float64Array;
  readonly cv2: Float64Array;
  readonly zLoss: Float64Array;
}

export const GATE_EXPERTS = 8;
const E = GATE_EXPERTS;
const CLUSTERS = 8;
/** Coordinates of a point, the constant 1 last. */
const X = 3;
const Y = 2;
export const GATE_BATCH = 64;
const B = GATE_BATCH;
const RATE = 0.5;
const GATE_RATE = 2;
/** softplus(0): the spread of the noise of Shazeer et al. before its own weights have learnt anything. */
const NOISE = Math.log(2);

/** Two independent normal numbers a call would be wasted: one is enough here. */
const normal = (next: () => number): number => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());

export interface Gate {
  readonly router: Float64Array; // [E, X]
  readonly experts: Float64Array; // [E, Y, X]
}

export interface Batch {
  readonly x: Float64Array; // [B, X]
  readonly target: Float64Array; // [B, Y]
  /** Added to the logits that choose, [B, E]. */
  readonly noise: Float64Array;
}

export interface Pass {
  readonly probs: Float64Array; // [B, E]
  readonly lse: Float64Array; // [B]
  /** 1 where an expert serves a token, [B, E]. */
  readonly served: Uint8Array;
  readonly assigned: Float64Array; // [E], before capacity
  readonly dropped: number;
  readonly output: Float64Array; // [B, Y]
}

const kOf = (kind: GateKind): number => (kind === 'top-1' ? 1 : 2);
export const capacityOf = ({ kind, capacityFactor }: Pick<GateSettings, 'kind' | 'capacityFactor'>): number =>
  capacityFactor > 0 ? Math.min(B, Math.ceil((capacityFactor * B * kOf(kind)) / E)) : B;

export function forward(gate: Gate, batch: Batch, settings: GateSettings): Pass {
  const probs = new Float64Array(B * E);
  const lse = new Float64Array(B);
  const keys = new Float64Array(B * E);
  for (let b = 0; b < B; b++) {
    let most = -Infinity;
    for (let e = 0; e < E; e++) {
      let z = 0;
      for (let i = 0; i < X; i++) z += gate.router[e * X + i]! * batch.x[b * X + i]!;
      probs[b * E + e] = z;
      keys[b * E + e] = z + batch.noise[b * E + e]!;
      most = Math.max(most, z);
    }
    let sum = 0;
    for (let e = 0; e < E; e++) sum += Math.exp(probs[b * E + e]! - most);
    lse[b] = most + Math.log(sum);
    for (let e = 0; e < E; e++) probs[b * E + e] = Math.exp(probs[b * E + e]! - lse[b]!);
  }
  const choice = settings.kind === 'expert choice' ? byExperts(probs, settings) : byTokens(keys, settings);
  return { probs, lse, ...choice, output: mixed(gate, batch, probs, choice.served) };
}

type Choice = Pick<Pass, 'served' | 'assigned' | 'dropped'>;

/** Each token its best k; an expert that is full turns later tokens away. */
function byTokens(keys: Float64Array, settings: GateSettings): Choice {
  const served = new Uint8Array(B * E);
  const assigned = new Float64Array(E);
  const capacity = capacityOf(settings);
  const k = kOf(settings.kind);
  let dropped = 0;
  for (let b = 0; b < B; b++) {
    const order = Array.from({ length: E }, (_, e) => e).sort((a, c) => keys[b * E + c]! - keys[b * E + a]! || a - c);
    for (const e of order.slice(0, k)) {
      if (assigned[e]!++ < capacity) served[b * E + e] = 1;
      else dropped++;
    }
  }
  return { served, assigned, dropped: dropped / (B * k) };
}

/** Each expert its best tokens (Zhou et al. 2022): even by construction, but some tokens get no expert. */
function byExperts(probs: Float64Array, settings: GateSettings): Choice {
  const served = new Uint8Array(B * E);
  const capacity = capacityOf({ ...settings, capacityFactor: settings.capacityFactor || 1 });
  for (let e = 0; e < E; e++) {
    const order = Array.from({ length: B }, (_, b) => b).sort((a, c) => probs[c * E + e]! - probs[a * E + e]! || a - c);
    for (const b of order.slice(0, capacity)) served[b * E + e] = 1;
  }
  let unserved = 0;
  for (let b = 0; b < B; b++) if (!served.subarray(b * E, (b + 1) * E).includes(1)) unserved++;
  return { served, assigned: new Float64Array(E).fill(capacity), dropped: unserved / B };
}

function mixed({ experts }: Gate, { x }: Batch, probs: Float64Array, served: Uint8Array): Float64Array {
  const output = new Float64Array(B * Y);
  for (let b = 0; b < B; b++)
    for (let e = 0; e < E; e++) {
      if (!served[b * E + e]) continue;
      for (let o = 0; o < Y; o++)
        for (let i = 0; i < X; i++)
          output[b * Y + o]! += probs[b * E + e]! * experts[(e * Y + o) * X + i]! * x[b * X + i]!;
    }
  return output;
}

export interface Losses {
  readonly error: number;
  readonly balance: number;
  readonly zLoss: number;
}

export function lossesOf({ probs, lse, assigned, output }: Pass, { target }: Batch): Losses {
  const all = assigned.reduce((a, b) => a + b, 0);
  let balance = 0;
  for (let e = 0; e < E; e++) {
    let mean = 0;
    for (let b = 0; b < B; b++) mean += probs[b * E + e]! / B;
    balance += (E * assigned[e]! * mean) / all;
  }
  return {
    error: output.reduce((sum, value, i) => sum + (value - target[i]!) ** 2, 0) / (B * Y),
    balance,
    zLoss: lse.reduce((sum, value) => sum + value * value, 0) / B,
  };
}

/** Of error + balance weight · balance + z weight · z-loss; who is chosen counts as fixed. */
export function gradients(gate: Gate, batch: Batch, pass: Pass, settings: GateSettings): Gate {
  const router = new Float64Array(E * X);
  const experts = new Float64Array(E * Y * X);
  const { probs, lse, served, assigned, output } = pass;
  const all = assigned.reduce((a, b) => a + b, 0);
  const toProbs = new Float64Array(E);
  for (let b = 0; b < B; b++) {
    for (let e = 0; e < E; e++) {
      toProbs[e] = (settings.balance * E * assigned[e]!) / (all * B);
      if (!served[b * E + e]) continue;
      for (let o = 0; o < Y; o++) {
        const slope = (2 * (output[b * Y + o]! - batch.target[b * Y + o]!)) / (B * Y);
        for (let i = 0; i < X; i++) {
          const at = (e * Y + o) * X + i;
          experts[at]! += slope * probs[b * E + e]! * batch.x[b * X + i]!;
          toProbs[e]! += slope * gate.experts[at]! * batch.x[b * X + i]!;
        }
      }
    }
    let mean = 0;
    for (let e = 0; e < E; e++) mean += probs[b * E + e]! * toProbs[e]!;
    for (let e = 0; e < E; e++) {
      const slope = probs[b * E + e]! * (toProbs[e]! - mean + (settings.zLoss * 2 * lse[b]!) / B);
      for (let i = 0; i < X; i++) router[e * X + i]! += slope * batch.x[b * X + i]!;
    }
  }
  return { router, experts };
}

/** Points of the clusters, the first ones more frequent, as topics are. */
export function sampler(next: () => number, isNoisy: boolean): () => Batch {
  const centres = Array.from({ length: CLUSTERS }, (_, c) => {
    const angle = (2 * Math.PI * c) / CLUSTERS;
    return [Math.cos(angle), Math.sin(angle)] as const;
  });
  const maps = Array.from({ length: CLUSTERS }, () => Float64Array.from({ length: Y * X }, () => normal(next)));
  const weights = Array.from({ length: CLUSTERS }, (_, c) => 1 / (1 + 0.35 * c));
  const whole = weights.reduce((a, b) => a + b, 0);
  const pick = (): number => {
    let left = next() * whole;
    return Math.max(
      0,
      weights.findIndex((weight) => (left -= weight) < 0),
    );
  };
  return () => {
    const x = new Float64Array(B * X).fill(1);
    const target = new Float64Array(B * Y);
    for (let b = 0; b < B; b++) {
      const c = pick();
      for (let i = 0; i < X - 1; i++) x[b * X + i] = centres[c]![i]! + 0.15 * normal(next);
      for (let o = 0; o < Y; o++)
        for (let i = 0; i < X; i++) target[b * Y + o]! += maps[c]![o * X + i]! * x[b * X + i]!;
    }
    const noise = Float64Array.from({ length: B * E }, () => (isNoisy ? NOISE * normal(next) : 0));
    return { x, target, noise };
  };
}

export function startGate(next: () => number): Gate {
  return {
    router: Float64Array.from({ length: E * X }, () => 0.3 * normal(next)),
    experts: Float64Array.from({ length: E * Y * X }, () => 0.5 * normal(next)),
  };
}

export function simulateGate(settings: GateSettings): GateRun {
  const { steps } = settings;
  const next = prng(settings.seed);
  const batches = sampler(next, settings.kind === 'noisy top-2');
  const gate = startGate(next);
  const of = (): Float64Array => new Float64Array(steps);
  const run = { load: new Float64Array(steps * E), error: of(), dropped: of(), balance: of(), cv2: of(), zLoss: of() };
  for (let step = 0; step < steps; step++) {
    const batch = batches();
    const pass = forward(gate, batch, settings);
    const losses = lossesOf(pass, batch);
    const all = pass.assigned.reduce((a, b) => a + b, 0);
    for (let e = 0; e < E; e++) run.load[step * E + e] = pass.assigned[e]! / all;
    run.cv2[step] = pass.assigned.reduce((sum, n) => sum + ((n * E) / all - 1) ** 2, 0) / E;
    run.dropped[step] = pass.dropped;
    run.error[step] = losses.error;
    run.balance[step] = losses.balance;
    run.zLoss[step] = losses.zLoss;
    const slopes = gradients(gate, batch, pass, settings);
    for (let i = 0; i < gate.router.length; i++) gate.router[i]! -= GATE_RATE * slopes.router[i]!;
    for (let i = 0; i < gate.experts.length; i++) gate.experts[i]! -= RATE * slopes.experts[i]!;
  }
  return run;
}
