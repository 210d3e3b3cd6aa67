/** Dense and Mixture-of-Experts feed-forward, token by token. */
import type { Activation, FfnConfig, MoeFfn, RouterConfig } from '../../config/model-config.ts';
import type {
  ExpertStorage,
  GluNames,
  LayerNames,
  MatrixName,
  MoeFfnNames,
  RouterStateNames,
} from '../../families/family.ts';
import { activate, activateUp, hasGate, tripled } from '../activation.ts';
import { gelu } from '../gelu.ts';
import {
  add,
  matVec,
  need,
  needBias,
  needMatrix,
  normed,
  rmsNormed,
  sigmoid,
  softmax,
  type NormOf,
  type Weights,
} from './tensors.ts';

/** K experts of one token, best first, ties to the lower id. */
export interface Route {
  readonly ids: readonly number[];
  readonly weights: readonly number[];
}

/** Indices of the `count` largest values, best first, ties to the lower index. */
const largest = (values: Float64Array, count: number): number[] =>
  Array.from(values.keys())
    .sort((a, b) => values[b]! - values[a]! || a - b)
    .slice(0, count);

function scored(logits: Float64Array, score: RouterConfig['score']): Float64Array {
  if (score === 'softmax') return softmax(logits);
  if (score === 'sigmoid') return logits.map(sigmoid);
  if (score === 'sqrt-softplus') return logits.map((x) => Math.sqrt(Math.log1p(Math.exp(x))));
  return logits;
}

function maskGroups(keys: Float64Array, groups: NonNullable<RouterConfig['groups']>): Float64Array {
  const size = keys.length / groups.count;
  const ranks = Float64Array.from({ length: groups.count }, (_, g) => {
    const [first, second] = [...keys.slice(g * size, (g + 1) * size)].sort((a, b) => b - a);
    return groups.rank === 'max' ? first! : first! + second!;
  });
  const kept = new Set(largest(ranks, groups.keep));
  return keys.map((key, e) => (kept.has(Math.floor(e / size)) ? key : groups.dropped === 'zero' ? 0 : -Infinity));
}

/** What is changed in the choice of a layer's experts. */
export interface RouteChange {
  /** Experts that a token uses. */
  readonly uses: number;
  /** -Infinity: never; Infinity: always; else added to the expert's key. */
  readonly rules: readonly number[]; // [E]
}

/** logits [E], `bias` for selection only. */
export function route(
  logits: Float64Array,
  bias: Float64Array | null,
  topK: number,
  router: RouterConfig,
  change?: RouteChange,
): Route {
  const scores = scored(logits, router.score);
  const biased = bias ? add(scores, bias) : scores;
  const rule = (e: number): number => change?.rules[e] ?? 0;
  const keys = biased.map((key, e) => (rule(e) === Infinity ? key : Math.max(key + rule(e), -Number.MAX_VALUE)));
  const order = largest(router.groups ? maskGroups(keys, router.groups) : keys, keys.length);
  const allowed = order.filter((e) => rule(e) !== -Infinity);
  const wanted = [...allowed.filter((e) => rule(e) === Infinity), ...allowed.filter((e) => rule(e) !== Infinity)];
  const used = wanted.slice(0, change?.uses ?? topK);
  const ids = order.filter((e) => used.includes(e));
  if (typeof router.score === 'object') {
    const weights = sparselyMixed(logits, ids, router.score.tolerance);
    return { ids, weights: weights.map((w) => w * router.scale) };
  }
  let weights = ids.map((e) => scores[e]!);
  if (router.score === 'softmax-chosen') weights = [...softmax(Float64Array.from(weights))];
  if (router.renormalize) {
    const sum = weights.reduce((a, b) => a + b, 0);
    const by =
      'least' in router.renormalize ? Math.max(sum, router.renormalize.least) : sum + router.renormalize.epsilon;
    weights = weights.map((w) => w / by);
  }
  return { ids, weights: weights.map((w) => w * router.scale) };
}

/** Step by step as published: set aside what was chosen, mask what is far from the largest of the rest, softmax over what is left. */
function sparselyMixed(logits: Float64Array, ids: readonly number[], tolerance: number): number[] {
  const rest = logits.slice();
  return ids.map((id) => {
    const most = rest[id]!;
    const near = rest.map((z) => ((most - z) / Math.max(Math.abs(z), most) > tolerance ? -Infinity : z));
    const weight = softmax(near)[id]!;
    rest[id] = -Infinity;
    return weight;
  });
}

/** Without gates, the two halves of up: [F / 2, D]. Of a double gate `gate` is first and gate: [2F, D]. */
interface Glu {
  readonly gate: Float64Array; // [F, D]
  readonly up: Float64Array; // [F, D]
  readonly down: Float64Array; // [D, F]
  readonly bias: { readonly gate: Float64Array; readonly up: Float64Array; readonly down: Float64Array } | null;
}

function glu(x: Float64Array, w: Glu, activation: Activation): Float64Array {
  const gate = matVec(w.gate, x, w.bias?.gate);
  const up = matVec(w.up, x, w.bias?.up);
  const both = [...gate, ...up];
  const values = hasGate(activation)
    ? gate.map((g, i) => activate(activation, g, up[i]!))
    : activation.kind === 'double-gate'
      ? tripled(both)
      : Float64Array.from(both, (u) => activateUp(activation, u));
  return matVec(w.down, values, w.bias?.down);
}

function separate(names: GluNames<MatrixName>, weights: Weights, cols: number, biased = false): Glu {
  const { gate, up, down } = names;
  return {
    gate: needMatrix(weights, gate, cols),
    up: needMatrix(weights, up, cols),
    down: need(weights, `${down}.weight`),
    bias: biased ? { gate: needBias(weights, gate), up: needBias(weights, up), down: needBias(weights, down) } : null,
  };
}

/** Expert e of a tensor of rank 3 that holds all; `rows` of its outputs are picked, in order. */
function fusedRows(
  all: Float64Array,
  e: number,
  rows: number[],
  outs: number,
  ins: number,
  inOut: boolean,
): Float64Array {
  const base = e * outs * ins;
  const out = new Float64Array(rows.length * ins);
  rows.forEach((row, n) => {
    for (let k = 0; k < ins; k++) out[n * ins + k] = all[base + (inOut ? k * outs + row : row * ins + k)]!;
  });
  return out;
}

function expertOf(
  storage: ExpertStorage,
  e: number,
  weights: Weights,
  { width, expertBias }: MoeFfn,
  hidden: number,
): Glu {
  if (storage.kind === 'separate') return separate(storage.expert(e), weights, hidden, expertBias);
  if (storage.kind === 'flat') {
    const part = (name: string): Float64Array =>
      need(weights, name).slice(e * width * hidden, (e + 1) * width * hidden);
    const rows = Array.from({ length: hidden }, (_, d) => d);
    const down = fusedRows(need(weights, storage.down), e, rows, hidden, width, true);
    return { gate: part(storage.gate), up: part(storage.up), down, bias: null };
  }
  if (storage.kind === 'double') {
    const part = (name: string, outs: number, ins: number): Float64Array =>
      fusedRows(need(weights, name), e, [...Array(outs).keys()], outs, ins, true);
    const [gate, up] = [part(storage.gate, 2 * width, hidden), part(storage.up, width, hidden)];
    return { gate, up, down: part(storage.down, hidden, width), bias: null };
  }
  const inOut = storage.orientation === 'in-out';
  const even = storage.gateRows === 'even';
  const rowsOf = (part: 0 | 1): number[] =>
    Array.from({ length: width }, (_, j) => (even ? 2 * j + part : part * width + j));
  const gateUp = need(weights, storage.gateUp);
  const pick = (part: 0 | 1): Float64Array => fusedRows(gateUp, e, rowsOf(part), 2 * width, hidden, inOut);
  const allRows = Array.from({ length: hidden }, (_, d) => d);
  const sum = storage.sumBias === undefined ? null : need(weights, storage.sumBias);
  const biases = storage.gateUpBias === null ? null : need(weights, storage.gateUpBias);
  const downBias = storage.downBias === null ? null : need(weights, storage.downBias);
  const biasOf = (part: 0 | 1): Float64Array => Float64Array.from(rowsOf(part), (row) => biases![e * 2 * width + row]!);
  return {
    gate: pick(0),
    up: pick(1),
    down: fusedRows(need(weights, storage.down), e, allRows, hidden, width, inOut),
    bias: sum
      ? { gate: new Float64Array(width), up: new Float64Array(width), down: sum }
      : biases && downBias
        ? { gate: biasOf(0), up: biasOf(1), down: downBias.slice(e * hidden, (e + 1) * hidden) }
        : null,
  };
}

const stored = (name: MatrixName): string => (typeof name === 'string' ? name : name.of);

/** The first way of storing experts that the checkpoint has. */
function storageOf(names: MoeFfnNames, weights: Weights): ExpertStorage {
  const has = (s: ExpertStorage): boolean =>
    weights(s.kind === 'separate' ? `${stored(s.expert(0).gate)}.weight` : s.kind === 'fused' ? s.gateUp : s.gate) !==
    undefined;
  const found = names.experts.find(has);
  if (!found) throw new Error(`no experts beside ${names.router}`);
  return found;
}

function moe(
  x: readonly Float64Array[],
  config: MoeFfn,
  names: MoeFfnNames,
  weights: Weights,
  around: Around,
  change?: RouteChange,
): Mixed & { routes: Route[] } {
  const vector = (name: string | null): Float64Array | null => (name === null ? null : need(weights, name));
  const products = [names.router, ...(names.routerAttends ?? [])].map(
    (name) => weights(`${name}.weight`) ?? need(weights, name),
  );
  const second = names.routerSecond === undefined ? null : need(weights, `${names.routerSecond}.weight`);
  const storage = storageOf(names, weights);
  const experts = new Map<number, Glu>();
  const expert = (e: number, hidden: number): Glu => {
    const known = experts.get(e) ?? expertOf(storage, e, weights, config, hidden);
    experts.set(e, known);
    return known;
  };
  const shared = names.shared && separate(names.shared, weights, x[0]!.length);
  const sharedGate = names.sharedGate === null ? null : need(weights, `${names.sharedGate}.weight`);
  const states = names.routerState ? carriedStates(x, names.routerState, weights, around.states) : null;
  const read = states
    ? states.map((s) => mappedState(s, names.routerState!, weights, around.norm))
    : routerInput(x, config, names, weights, around);
  const logits = read.map((token) =>
    routerLogits(products, token, vector(names.routerBias), { second, deviation: config.router.deviation }),
  );
  const scales = names.expertScale === undefined ? null : need(weights, names.expertScale);
  const routes = logits.map((own) => {
    const { ids, weights } = route(own, vector(names.selectionBias), config.topK, config.router, change);
    return { ids, weights: scales ? weights.map((w, i) => w * scales[ids[i]!]!) : weights };
  });
  const latent = names.latent && {
    down: need(weights, `${names.latent.down}.weight`),
    up: need(weights, `${names.latent.up}.weight`),
  };
  const out = x.map((token, t) => {
    const read = latent ? matVec(latent.down, token) : token;
    let sum: Float64Array = new Float64Array(read.length);
    routes[t]!.ids.forEach((e, i) => {
      if (e >= config.experts - (config.nulls ?? 0)) return;
      const weight = routes[t]!.weights[i]!;
      const [before, after] = config.weightsOn === 'input' ? [weight, 1] : [1, weight];
      const input = read.map((v) => v * before * (config.inputScale ?? 1));
      sum = add(
        sum,
        glu(input, expert(e, read.length), config.activation).map((v) => v * after),
      );
    });
    if (latent) sum = matVec(latent.up, sum);
    if (!shared) return sum;
    const open = sharedGate ? sigmoid(matVec(sharedGate, token)[0]!) : 1;
    return add(
      sum,
      glu(token, shared, config.activation).map((v) => v * open),
    );
  });
  return { out: besideDense(out, config, names, weights, around), routes, logits, states };
}

/** What every layer's router adds to. */
function carriedStates(
  x: readonly Float64Array[],
  { down, before }: RouterStateNames,
  weights: Weights,
  states: readonly Float64Array[] | null,
): Float64Array[] {
  const gains = before === null ? null : need(weights, before);
  return x.map((token, t) => {
    const own = matVec(need(weights, `${down}.weight`), token, need(weights, `${down}.bias`));
    return gains ? own.map((s, r) => s + gains[r]! * states![t]![r]!) : own;
  });
}

function mappedState(
  state: Float64Array,
  names: RouterStateNames,
  weights: Weights,
  { normEps }: NormOf,
): Float64Array {
  const h = rmsNormed(state, need(weights, names.norm), normEps);
  return [names.first, names.second].reduce(
    (h, name) => matVec(need(weights, `${name}.weight`), h, need(weights, `${name}.bias`)).map(gelu),
    h,
  );
}

/** @param products one matrix, or those of q, k and v, by which experts attend to each other; with `second` the first of two maps */
function routerLogits(
  products: readonly Float64Array[],
  token: Float64Array,
  bias: Float64Array | null,
  { second, deviation }: { readonly second: Float64Array | null; readonly deviation: number | undefined },
): Float64Array {
  if (deviation !== undefined) {
    const logits = routerLogits(products, token, bias, { second, deviation: undefined });
    const mean = logits.reduce((a, b) => a + b) / logits.length;
    const variance = logits.reduce((sum, z) => sum + (z - mean) ** 2, 0) / (logits.length - 1);
    return logits.map((z) => (z / Math.sqrt(variance)) * deviation);
  }
  if (second) return matVec(second, matVec(products[0]!, token).map(Math.tanh));
  const [q, k, v] = products.map((w) => matVec(w, token, products.length === 1 ? bias : null));
  if (!k || !v) return q!;
  return q!.map((query) => softmax(k.map((key) => query * key)).reduce((sum, p, j) => sum + p * v[j]!, 0));
}

/** What the router reads: the same as the experts, the stream through a norm of its own, or what the whole layer read. */
function routerInput(
  x: readonly Float64Array[],
  { routerInput: input, router }: MoeFfn,
  { routerGains }: MoeFfnNames,
  weights: Weights,
  { stream, layerInput, norm }: Around,
): readonly Float64Array[] {
  if (input === 'layer') return layerInput;
  if (!router.gains) return x;
  const gains = need(weights, routerGains!).map((gain) => gain * x[0]!.length ** -0.5);
  return stream.map((token) => rmsNormed(token, gains, norm.normEps));
}

/** What the experts give and what the dense FFN beside or behind them gives, where there is one; with post norms each normed by itself. */
function besideDense(
  experts: Float64Array[],
  { activation, parallel: branch }: MoeFfn,
  { parallel }: MoeFfnNames,
  weights: Weights,
  { stream, norm }: Around,
): Float64Array[] {
  if (!parallel) return experts;
  const dense = separate(parallel, weights, stream[0]!.length);
  return stream.map((token, t) => {
    const read = branch?.behind ? add(token, experts[t]!) : token;
    const given = glu(normed(read, weights, parallel.norm, norm), dense, activation);
    const joined = (values: Float64Array, name: string | undefined): Float64Array =>
      name === undefined ? values : normed(values, weights, name, norm);
    return add(joined(given, parallel.postNorm), joined(experts[t]!, parallel.expertsPostNorm));
  });
}

/** What an FFN may read besides its normed input. */
export interface Around {
  /** The residual stream in front of the FFN, and in front of the whole layer. */
  readonly stream: readonly Float64Array[]; // [T][D]
  readonly layerInput: readonly Float64Array[]; // [T][D]
  /** Of the router of the MoE layer before, where routers carry any. */
  readonly states: readonly Float64Array[] | null; // [T][R]
  readonly norm: NormOf;
}

interface Mixed {
  readonly out: Float64Array[];
  readonly logits: Float64Array[];
  /** Of the router, where it carries any. */
  readonly states: readonly Float64Array[] | null;
}

/** x: normed tokens [T][D]; returns what joins the residual, and the routing of a Mixture-of-Experts layer. */
export function feedForward(
  x: readonly Float64Array[],
  config: FfnConfig,
  names: LayerNames['ffn'],
  weights: Weights,
  around: Around,
  change?: RouteChange,
): Mixed & { routes: Route[] | null } {
  if (config.kind === 'moe' && names.kind === 'moe') return moe(x, config, names, weights, around, change);
  if (config.kind !== 'dense' || names.kind !== 'dense') throw new Error('names of another kind than the config');
  const dense = separate(names, weights, x[0]!.length);
  return { out: x.map((token) => glu(token, dense, config.activation)), routes: null, logits: [], states: null };
}
